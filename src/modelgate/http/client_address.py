"""Determine client addresses and schemes behind trusted proxies, and group addresses for rate limits."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

from ..errors import ConfigurationError
from .request import Headers

__all__ = [
    "TrustedNetworks",
    "client_address",
    "forwarded_hop",
    "forwarded_scheme",
    "is_loopback",
    "rate_limit_address",
]

# RFC 7239, section 4: commas separate elements, semicolons separate pairs. A quoted string may contain both.
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_ELEMENTS = re.compile(rf'((?:[^",]|{_QUOTED})*+)(?:,|\Z)')
_FOR = re.compile(rf'(?:^|;)\s*for\s*=\s*({_QUOTED}|[^\s";,]+)\s*(?=;|$)', re.IGNORECASE)
_PAIR = re.compile(rf'\s*([\w-]+)\s*=\s*({_QUOTED}|[^\s";,]+)\s*(?:;|$)')
_NAMES_FOR = re.compile(r"(?:^|;)\s*for\s*=", re.IGNORECASE)
_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]+)?|([0-9.]+)(?::[0-9]+)?|([0-9A-Fa-f:.]+)")


@dataclass(frozen=True)
class TrustedNetworks:
    """Networks of trusted proxies, whose header fields may report the client address.

    Args:
        networks: Networks of the proxies.
        unix: Whether peers on Unix sockets are trusted.
    """

    networks: Sequence[IPv4Network | IPv6Network]
    unix: bool

    @classmethod
    def parse(cls, trusted: Iterable[str]) -> "TrustedNetworks":
        """Parse a list of networks, such as ``["10.0.0.0/8", "::1", "unix"]``.

        Raises:
            ConfigurationError: *trusted* is not a list, or one of its items is not a network.
        """
        names = [trusted] if isinstance(trusted, str) or not isinstance(trusted, Iterable) else list(trusted)
        try:
            networks = [ip_network(name) for name in names if name != "unix"]
            if names and names[0] is trusted:
                raise ValueError("it is not a list")
        except ValueError as error:
            raise ConfigurationError(
                'trusted_proxies must be a list of networks, such as ["10.0.0.0/8", "unix"]'
                f" (got {trusted!r}: {error})"
            ) from None
        return cls(networks, "unix" in names)

    def __contains__(self, peer: str | None) -> bool:
        """Return True if *peer* is a trusted proxy. None stands for a peer on a Unix socket."""
        if not peer:
            return self.unix
        address = _parse_address(peer)
        return address is not None and any(ip_address(address) in network for network in self.networks)


def client_address(peer: str | None, headers: Headers, trusted: TrustedNetworks) -> str | None:
    """Return the address of the caller: the first hop from the right that is not a trusted proxy.

    If a hop is unreadable, the address of the proxy that forwarded it is returned. If ``Forwarded`` and
    ``X-Forwarded-For`` disagree, *peer* is returned, because the proxy may have written only one of the
    fields, and the caller may have forged the other. Elements of ``Forwarded`` without ``for`` are skipped if
    there is an ``X-Forwarded-For``.

    Args:
        peer: Address of the peer, as reported by the server.
        headers: Header fields of the request.
        trusted: Trusted proxies.
    """
    if peer not in trusted:
        return peer
    listed = _parse_forwarded_for(headers.get("x-forwarded-for"))
    elements = _parse_forwarded(headers.get("forwarded"))
    if listed:
        elements = [hop for hop in elements if hop is not None]
    callers = {
        _find_caller(peer, [hop or "" for hop in hops], trusted) for hops in (elements, listed) if hops
    }
    return callers.pop() if len(callers) == 1 else peer


def forwarded_hop(headers: Headers) -> str | None:
    """Return the last hop in the header fields, or None if there is none.

    If the peer is a proxy, it has added this hop. If the peer is the caller, the hop may be forged.
    """
    hops = _parse_forwarded_for(headers.get("x-forwarded-for")) or _parse_forwarded(headers.get("forwarded"))
    return rate_limit_address(_parse_address(hops[-1] or "")) if hops else None


def forwarded_scheme(headers: Headers) -> Literal["http", "https"] | None:
    """Return the scheme that the caller used, as reported by a proxy, or None if no proxy reports it.

    With several proxies, the field lists a scheme per hop, and the caller's scheme is first. A caller can
    forge the field unless a proxy overwrites it, but this affects only the caller's own requests.
    """
    proto = headers.get("x-forwarded-proto")
    if proto is None:
        element = _ELEMENTS.match(headers.get("forwarded") or "")
        pairs = _PAIR.findall("" if element is None else element[1])
        proto = next((value.strip('"') for name, value in pairs if name.lower() == "proto"), "")
    scheme = proto.partition(",")[0].strip().lower()
    return scheme if scheme in ("http", "https") else None  # type: ignore[return-value]


def _find_caller(peer: str | None, hops: list[str], trusted: TrustedNetworks) -> str | None:
    for hop in reversed(hops):
        address = _parse_address(hop)
        if address is None:
            break
        peer = address
        if address not in trusted:
            break
    return peer


def _parse_forwarded_for(field: str | None) -> list[str]:
    return [hop.strip() for hop in field.split(",")] if field else []


def _parse_forwarded(field: str | None) -> list[str | None]:
    """Return ``for`` of each element of ``Forwarded``: None if it is missing, an empty string if ambiguous."""
    if not field:
        return []
    hops, position = list[str | None](), 0
    while position < len(field):
        element = _ELEMENTS.match(field, position)
        if element is None:
            # After an unclosed string, the elements of different proxies cannot be told apart.
            return [""]
        names = _FOR.findall(element[1])
        hop = re.sub(r"\\(.)", r"\1", names[0].strip('"')) if len(names) == 1 else ""
        hops.append(hop if _NAMES_FOR.search(element[1]) else None)
        position = element.end()
    return hops


@lru_cache(maxsize=4096)
def _parse_address(hop: str) -> str | None:
    """Return the IP address in *hop*, without a port, or None if there is none, as in ``unknown``."""
    match = _WITH_PORT.fullmatch(hop)
    if match is None:
        return None
    try:
        address = ip_address(match[1] or match[2] or match[3])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def rate_limit_address(client: str | None) -> str | None:
    """Return the address under which rate limits count *client*.

    An IPv6 address is counted as its /64 network, because one caller usually owns the whole network. An
    IPv4-mapped address is counted as its IPv4 address. Any other value is returned unchanged.
    """
    return client if client is None or ":" not in client else _ipv6_network(client)


@lru_cache(maxsize=4096)
def _ipv6_network(client: str) -> str:
    try:
        address = IPv6Address(client)
    except ValueError:
        return client
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address) >> 64 << 64, 64)))


def is_loopback(host: str) -> bool:
    """Return whether *host* can be reached only from this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
