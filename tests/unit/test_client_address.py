"""Client addresses behind trusted proxies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate import ConfigurationError
from modelgate.http.client_address import TrustedNetworks, client_address, rate_limit_address

PROXIES = TrustedNetworks.parse(["10.0.0.0/8", "2001:db8:aa::/48", "unix"])
PROXY, CALLER, OTHER = "10.0.0.1", "203.0.113.9", "198.51.100.7"


def find_caller(peer=PROXY, **fields):
    return client_address(peer, {name.replace("_", "-"): value for name, value in fields.items()}, PROXIES)


@pytest.mark.parametrize("field", ["x_forwarded_for", "forwarded"])
def test_client_address_ignores_fields_of_untrusted_peers(field):
    value = f"for={OTHER}" if field == "forwarded" else OTHER

    assert CALLER == find_caller(CALLER, **{field: value})
    assert OTHER == find_caller(PROXY, **{field: value})
    assert OTHER == find_caller(None, **{field: value})
    assert None is client_address(None, {field: value}, TrustedNetworks.parse([]))


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
        # The walk ends at the proxy that forwarded an unreadable hop.
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
def test_client_address_from_x_forwarded_for(hops, expected):
    """The first hop from the right that is not a trusted proxy."""

    assert expected == find_caller(x_forwarded_for=hops)


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
def test_client_address_from_forwarded(field, expected):
    """The elements of RFC 7239."""

    assert expected == find_caller(forwarded=field)


def test_client_address_requires_both_fields_to_agree():
    """A proxy writes one of them; the caller may have written the other."""

    assert CALLER == find_caller(forwarded=f"for={CALLER}", x_forwarded_for=f"{OTHER}, {CALLER}")
    assert PROXY == find_caller(forwarded=f"for={OTHER}", x_forwarded_for=CALLER)


def test_client_address_of_an_ipv4_mapped_peer():
    """Servers that listen on both protocols report such addresses."""

    assert CALLER == find_caller("::ffff:10.0.0.1", x_forwarded_for=CALLER)


@given(st.text(max_size=60), st.text(max_size=60))
def test_client_address_never_fails(forwarded, listed):
    found = find_caller(forwarded=forwarded, x_forwarded_for=listed)

    assert found == PROXY or rate_limit_address(found) is not None


@given(st.text(alphabet='for=;," \\[]:.0123456789abc', max_size=200))
def test_client_address_of_any_forwarded_field(field):
    assert find_caller(forwarded=field) is not None


@given(st.lists(st.ip_addresses(v=4).map(str), max_size=5), st.ip_addresses(v=4).map(str))
def test_client_address_ignores_forged_hops_on_the_left(forged, caller_address):
    hops = ", ".join([*forged, caller_address])
    expected = caller_address if caller_address not in PROXIES else None

    if expected is not None:
        assert expected == find_caller(x_forwarded_for=hops)


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
def test_rate_limit_address(client, expected):
    assert expected == rate_limit_address(client)


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
def test_client_address_skips_forwarded_elements_without_for(forwarded, expected):
    """If there is also an X-Forwarded-For. Unreadable elements are not skipped."""

    assert expected == find_caller(forwarded=forwarded, x_forwarded_for=CALLER)


@pytest.mark.parametrize("trusted", ["10.0.0.0/8", ["10.0.0.1/8"], ["*"], ["proxy.local"], [None], None, 5])
def test_trusted_networks_rejects_invalid_networks(trusted):
    with pytest.raises(ConfigurationError, match=r"trusted_proxies must be a list of networks"):
        TrustedNetworks.parse(trusted)
