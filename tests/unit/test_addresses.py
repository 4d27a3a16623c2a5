"""Whose address a request comes from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate import ConfigurationError
from modelgate.http.addresses import TrustedNetworks, client_address, counted_address

PROXIES = TrustedNetworks.parse(["10.0.0.0/8", "2001:db8:aa::/48", "unix"])
PROXY, CALLER, OTHER = "10.0.0.1", "203.0.113.9", "198.51.100.7"


def caller(peer=PROXY, **fields):
    return client_address(peer, {name.replace("_", "-"): value for name, value in fields.items()}, PROXIES)


@pytest.mark.parametrize("field", ["x_forwarded_for", "forwarded"])
def test_nobody_is_believed_but_a_trusted_proxy(field):
    """A stranger's word on where it comes from is nothing."""
    told = f"for={OTHER}" if field == "forwarded" else OTHER

    assert CALLER == caller(CALLER, **{field: told})
    assert OTHER == caller(PROXY, **{field: told})
    assert OTHER == caller(None, **{field: told})
    assert None is client_address(None, {field: told}, TrustedNetworks.parse([]))


@pytest.mark.parametrize(
    ("hops", "expected"),
    [
        (f"{CALLER}", CALLER),
        (f"{OTHER}, {CALLER}", CALLER),
        (f"{OTHER},{CALLER},10.1.2.3", CALLER),
        (f"{CALLER}:5678", CALLER),
        ("10.9.9.9, 10.1.2.3", "10.9.9.9"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ("2001:db8::7, 2001:db8:aa::1", "2001:db8::7"),
        (f"::ffff:{CALLER}", CALLER),
        (f"{OTHER}, ::ffff:10.0.0.9", OTHER),
        # What cannot be read ends the walk at the proxy that passed it on.
        (f"{OTHER}, unknown", PROXY),
        (f"{OTHER}, unknown, 10.1.2.3", "10.1.2.3"),
        (f"{OTHER}, ", PROXY),
        (f"{OTHER}, 999.1.1.1", PROXY),
        (f"{OTHER}, 1.2.3.4.5", PROXY),
        (f"{OTHER}, {CALLER}:port", PROXY),
        ("2001:db8::7:::", PROXY),
        ("127.1", PROXY),
    ],
)
def test_x_forwarded_for(hops, expected):
    """The first hop from the right that is no trusted proxy."""

    assert expected == caller(x_forwarded_for=hops)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (f"for={CALLER}", CALLER),
        (f"for={OTHER};proto=http, For={CALLER};by=10.0.0.1", CALLER),
        (f"proto=https; for={CALLER}", CALLER),
        (f'for={OTHER}, for="{CALLER}:80", for=10.1.1.1', CALLER),
        ('for="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        (f'for={OTHER}, for={CALLER};ext="a, for={OTHER};\\" b"', CALLER),
        (f"for={CALLER},", CALLER),
        # RFC 7239, section 6: a hop may be unknown, or hidden.
        (f"for={OTHER}, for=unknown", PROXY),
        (f"for={OTHER}, for=_hidden", PROXY),
        (f"for={OTHER}, proto=https", PROXY),
        (f'for={OTHER}, for="{CALLER}', PROXY),
        (f"for={OTHER}, for={CALLER};for={OTHER}", PROXY),
        (f"for={OTHER}, for=2001:db8::7:9:", PROXY),
        (f"for={OTHER}, notfor={CALLER}", PROXY),
    ],
)
def test_forwarded(field, expected):
    """The same walk, through the elements of RFC 7239."""

    assert expected == caller(forwarded=field)


def test_both_fields_must_name_the_same_caller():
    """A proxy writes one of them: where they differ, the other may be the caller's own."""

    assert CALLER == caller(forwarded=f"for={CALLER}", x_forwarded_for=f"{OTHER}, {CALLER}")
    assert PROXY == caller(forwarded=f"for={OTHER}", x_forwarded_for=CALLER)


def test_a_peer_may_be_an_ipv4_address_written_as_an_ipv6_one():
    """As a server says it that listens on both."""

    assert CALLER == caller("::ffff:10.0.0.1", x_forwarded_for=CALLER)


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_fields_at_all_give_an_address(forwarded, listed):
    """An address of the fields, or the peer's; never an error."""
    found = caller(forwarded=forwarded, x_forwarded_for=listed)

    assert found == PROXY or counted_address(found) is not None


@given(st.text(alphabet='for=;," \\[]:.0123456789abc', max_size=200))
def test_any_forwarded_field_ends(field):
    """However it is quoted."""

    assert caller(forwarded=field) is not None


@given(st.lists(st.ip_addresses(v=4).map(str), max_size=5), st.ip_addresses(v=4).map(str))
def test_what_a_caller_adds_on_the_left_changes_nothing(forged, caller_address):
    """The rightmost untrusted hop is the one the proxy saw."""
    told = ", ".join([*forged, caller_address])
    expected = caller_address if caller_address not in PROXIES else None

    if expected is not None:
        assert expected == caller(x_forwarded_for=told)


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (None, None),
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::/64"),
        ("not:an:address", "not:an:address"),
        ("testclient", "testclient"),
    ],
)
def test_addresses_are_counted_by_network(client, expected):
    """An IPv6 address by its /64, an IPv4 address as itself, however it is written."""

    assert expected == counted_address(client)


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("proto=https", CALLER),
        ("host=for.example;by=10.0.0.1, proto=https", CALLER),
        (f"for={CALLER}, proto=https", CALLER),
        (f"for={OTHER}, proto=https", PROXY),
        ("for=unknown", PROXY),
        ("for=[::1]", PROXY),
        (f"for={CALLER};for={OTHER}", PROXY),
        ('proto="https', PROXY),
    ],
)
def test_forwarded_without_for_beside_x_forwarded_for(forwarded, expected):
    """It names nobody, and contradicts nobody; what cannot be read still does."""

    assert expected == caller(forwarded=forwarded, x_forwarded_for=CALLER)


@pytest.mark.parametrize("trusted", ["10.0.0.0/8", ["10.0.0.1/8"], ["*"], ["proxy.local"], [None], None, 5])
def test_what_is_no_network_is_refused(trusted):
    """At construction, with an example."""
    with pytest.raises(ConfigurationError, match=r"trusted_proxies=.*accepts a list of networks"):
        TrustedNetworks.parse(trusted)
