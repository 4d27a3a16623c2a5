"""Whose address a request comes from, and which addresses are counted as one."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from ..errors import ConfigurationError
from .messages import Headers

__all__ = ["TrustedNetworks", "client_address", "counted_address"]

# RFC 7239, section 4: elements parted by commas, pairs by semicolons; both may stand in a quoted string.
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_ELEMENTS = re.compile(rf'((?:[^",]|{_QUOTED})*+)(?:,|\Z)')
_FOR = re.compile(rf'(?:^|;)\s*for\s*=\s*({_QUOTED}|[^\s";,]+)\s*(?=;|$)', re.IGNORECASE)
_NAMES_FOR = re.compile(r"(?:^|;)\s*for\s*=", re.IGNORECASE)
_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]+)?|([0-9.]+)(?::[0-9]+)?|([0-9A-Fa-f:.]+)")


@dataclass(frozen=True)
class TrustedNetworks:
    """The proxies whose word on where a request comes from is taken.

    Args:
        networks: of their addresses.
        unix: whether a peer on a Unix socket is one.
    """

    networks: Sequence[IPv4Network | IPv6Network]
    unix: bool

    @classmethod
    def parse(cls, trusted: Iterable[str]) -> "TrustedNetworks":
        """The networks *trusted* names: ``"10.0.0.0/8"``, ``"::1"``, ``"unix"``.

        Raises:
            ConfigurationError: one of them is none.
        """
        names = [trusted] if isinstance(trusted, str) or not isinstance(trusted, Iterable) else list(trusted)
        try:
            networks = [ip_network(name) for name in names if name != "unix"]
            if names and names[0] is trusted:
                raise ValueError("it is no list")
        except ValueError as error:
            raise ConfigurationError(
                f'trusted_proxies={trusted!r}: {error}: accepts a list of networks, ["10.0.0.0/8"], and "unix"'
            ) from None
        return cls(networks, "unix" in names)

    def __contains__(self, peer: str | None) -> bool:
        """Whether *peer* is a proxy to be trusted. None is one on a Unix socket."""
        if not peer:
            return self.unix
        address = _address(peer)
        return address is not None and any(ip_address(address) in network for network in self.networks)


def client_address(peer: str | None, headers: Headers, trusted: TrustedNetworks) -> str | None:
    """The address of the caller: of the first hop, from the right, that is no trusted proxy.

    A hop that cannot be read ends the walk: the request then counts as the proxy's that passed it
    on. So it does where ``Forwarded`` and ``X-Forwarded-For`` name different callers: a proxy
    writes one of them, and who wrote the other is not known. Beside ``X-Forwarded-For``, elements of
    ``Forwarded`` without ``for`` name nobody, and are passed over.

    Args:
        peer: what the connection came from, as the server tells it.
        headers: of the request.
        trusted: whose word is taken.
    """
    if peer not in trusted:
        return peer
    listed = _listed(headers.get("x-forwarded-for"))
    elements = _forwarded(headers.get("forwarded"))
    if listed:
        elements = [hop for hop in elements if hop is not None]
    told = [_caller(peer, [hop or "" for hop in hops], trusted) for hops in (elements, listed) if hops]
    return told[0] if told and told.count(told[0]) == len(told) else peer


def _caller(peer: str | None, hops: list[str], trusted: TrustedNetworks) -> str | None:
    for hop in reversed(hops):
        address = _address(hop)
        if address is None:
            break
        peer = address
        if address not in trusted:
            break
    return peer


def _listed(field: str | None) -> list[str]:
    return [hop.strip() for hop in field.split(",")] if field else []


def _forwarded(field: str | None) -> list[str | None]:
    """The ``for`` of each element: None where there is none, empty where it cannot be told."""
    if not field:
        return []
    hops, at = list[str | None](), 0
    while at < len(field):
        element = _ELEMENTS.match(field, at)
        if element is None:
            # A string is never closed: who wrote what behind it cannot be told.
            return [""]
        told = _FOR.findall(element[1])
        hop = re.sub(r"\\(.)", r"\1", told[0].strip('"')) if len(told) == 1 else ""
        hops.append(hop if _NAMES_FOR.search(element[1]) else None)
        at = element.end()
    return hops


@lru_cache(maxsize=4096)
def _address(hop: str) -> str | None:
    """The address of *hop*, which may have a port; None where it is none, or hidden."""
    told = _WITH_PORT.fullmatch(hop)
    if told is None:
        return None
    try:
        address = ip_address(told[1] or told[2] or told[3])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def counted_address(client: str | None) -> str | None:
    """What *client* is counted as: an IPv6 address as its network of 64 bits, which one caller has
    all of; an IPv4 address written as an IPv6 one as what it is.
    """
    return client if client is None or ":" not in client else _network(client)


@lru_cache(maxsize=4096)
def _network(client: str) -> str:
    try:
        address = IPv6Address(client)
    except ValueError:
        return client
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address) >> 64 << 64, 64)))
