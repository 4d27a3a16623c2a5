"""Keys, scopes and the memory key store."""

import gc
import hashlib
import hmac
import re
import string
import zlib

import hypothesis
import pytest
from hypothesis import strategies as st

from modelgate import KeyAuth
from modelgate.errors import ConfigurationError, InsufficientScope
from modelgate.flow import drive
from modelgate.keys import MemoryKeyStore, Principal, generate, has_valid_checksum, key_store
from modelgate.keys.digest import hash_key, load_pepper
from modelgate.keys.generate import display_prefix
from modelgate.keys.own_form import digest_own_key
from modelgate.keys.principal import ACTIONS, OPERATE, parse_scopes
from support.marks import slow

KEY, OTHER = "k" * 8 + "-first-key", "another-key-that-is-long"


def sha256(key):
    return hashlib.sha256(key.encode()).hexdigest()


def collect_reachable(root):
    """Return all objects reachable from *root*, except modules and types."""
    seen, todo = {}, [root]
    while todo:
        item = todo.pop()
        if id(item) in seen or isinstance(item, type) or callable(item):
            continue
        seen[id(item)] = item
        todo += gc.get_referents(item) + list(getattr(item, "__dict__", {}).values())
    return list(seen.values())


def test_memory_key_store_contains_no_key():
    """Neither its repr nor any object in it."""
    store = MemoryKeyStore({KEY: "churn", OTHER: ["churn", "price"]})
    drive(store.find(KEY))
    drive(store.find(KEY.upper()))
    values = [item for item in collect_reachable(store) if isinstance(item, str | bytes | bytearray)]

    assert bytes.fromhex(sha256(KEY)) in values
    for item in [*values, repr(store), str(vars(store))]:
        text = item if isinstance(item, str) else bytes(item).decode("latin-1")
        assert KEY not in text
        assert OTHER not in text


def test_memory_key_store_repr_has_number_of_keys():

    assert "MemoryKeyStore(2 keys)" == repr(MemoryKeyStore({KEY: "churn", OTHER: "*"}))


@pytest.mark.parametrize(
    ("deployments", "expected"),
    [
        ("churn", ("churn",)),
        (["churn"], ("churn",)),
        (("churn", "price"), ("churn", "price")),
        ("*", None),
        (["churn", "*"], None),
        (["churn", "churn"], ("churn",)),
    ],
    ids=repr,
)
@pytest.mark.parametrize("entry", [KEY, f"sha256:{sha256(KEY)}"], ids=["key", "digest"])
def test_memory_key_store_finds_key(entry, deployments, expected):
    """A key and its digest have the same principal. Its id is no part of the digest."""
    store = MemoryKeyStore({entry: deployments})

    assert Principal("56e5e131d9f0", expected) == drive(store.find(KEY))


def test_digest_is_not_accepted_as_key():
    """Reading the configuration gives no access."""
    entry = f"sha256:{sha256(KEY)}"

    assert drive(MemoryKeyStore({entry: "*"}).find(entry)) is None
    assert drive(MemoryKeyStore({entry: "*"}).find(sha256(KEY))) is None


@pytest.mark.parametrize(
    "entry",
    [
        f"sha256:{sha256(KEY).upper()}",
        f"SHA256:{sha256(KEY)}",
        f"sha256:{sha256(KEY)[:-1]}",
        f"sha256:{sha256(KEY)} ",
    ],
    ids=["upper", "scheme", "short", "space"],
)
def test_malformed_digest_is_never_a_key(entry):
    """It is read as a digest or rejected."""
    try:
        store = MemoryKeyStore({entry: "*"})
    except ConfigurationError:
        return

    assert drive(store.find(entry)) is None


@pytest.mark.parametrize(
    "key",
    [
        "",
        KEY[:-1],
        KEY + "x",
        KEY.upper(),
        KEY + "\0",
        " " + KEY,
        "k" * 60_000,
        "\u00e9" * 20,
        "\U0001f511" * 20,
        "\ud800" * 20,
        "\x00" * 20,
    ],
    ids=lambda key: ascii(key)[:12],
)
def test_memory_key_store_accepts_any_text(key):

    assert drive(MemoryKeyStore({KEY: "*"}).find(key)) is None


@pytest.mark.parametrize("key", ["k" * 16, "k" * 256, "mg_an-older-key-of-modelgate"])
def test_memory_key_store_accepts_16_to_256_characters(key):

    assert drive(MemoryKeyStore({key: "*"}).find(key)) is not None


WRONG_LENGTH = "must have 16 to 256 characters (got {} characters): create one with modelgate.keys.generate()"
WRONG_CHECKSUM = (
    "that starts with mg_live_ must end in a valid checksum (got an invalid one): copy the complete key"
)
WRONG_DIGEST = 'given as a digest must be "sha256:" followed by 64 hexadecimal digits (got another form)'


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("", WRONG_LENGTH.format(0)),
        ("k" * 15, WRONG_LENGTH.format(15)),
        ("k" * 257, WRONG_LENGTH.format(257)),
        ("\u00e9" * 16, "must be ASCII (got characters that are not ASCII)"),
        ("mg_live_" + "k" * 33, WRONG_CHECKSUM),
        (generate()[:-1] + "-", WRONG_CHECKSUM),
        ("sha256:", WRONG_DIGEST),
        (f"SHA256:{sha256(KEY)}0", WRONG_DIGEST),
        (7, "must be a string (got int)"),
    ],
    ids=[
        "empty",
        "short",
        "long",
        "accents",
        "no checksum",
        "misspelled",
        "no digest",
        "long digest",
        "number",
    ],
)
def test_own_key_must_be_usable(key, fault):
    """The message has the length of the key, and quotes nothing of it."""
    with pytest.raises(ConfigurationError) as info:
        digest_own_key(key, "our key")

    assert f"our key {fault}" == str(info.value)
    with pytest.raises(ConfigurationError):
        MemoryKeyStore({key: "*"})


def test_digest_depends_on_pepper():
    """The digest of a key, which was computed without the pepper, cannot be used with one."""
    with_pepper = hmac.new(b"pepper of our keys", KEY.encode(), "sha256").digest()

    assert (
        bytes.fromhex(sha256(KEY))
        == digest_own_key(KEY, "key")
        == digest_own_key(f"SHA256:{sha256(KEY)}", "key")
    )
    assert with_pepper == digest_own_key(KEY, "key", b"pepper of our keys")
    with pytest.raises(ConfigurationError) as info:
        digest_own_key(f"sha256:{sha256(KEY)}", "our key", b"pepper of our keys")
    assert "our key must be the key itself if there is a pepper (got its digest)" == str(info.value)


def test_hash_key_returns_none_for_impossible_keys():
    assert [None] * 3 == [hash_key(key) for key in ("", "k" * 257, "k" * 20 + "\u00e9")]
    assert [32, 32] == [len(hash_key(key)) for key in ("k", "k" * 256)]


def test_pepper_is_the_option_or_the_variable(monkeypatch):
    monkeypatch.delenv("MODELGATE_KEYS_PEPPER", raising=False)
    assert load_pepper(None) is None
    monkeypatch.setenv("MODELGATE_KEYS_PEPPER", "")
    assert load_pepper(None) is None
    monkeypatch.setenv("MODELGATE_KEYS_PEPPER", "p" * 16)
    assert b"p" * 16 == load_pepper(None)
    assert b"o" * 16 == load_pepper("o" * 16)


@pytest.mark.parametrize(
    ("pepper", "fault"),
    [
        ("", "pepper must have at least 16 characters (got 0)"),
        ("p" * 15, "pepper must have at least 16 characters (got 15)"),
        (b"p" * 16, "pepper must be a string (got bytes)"),
    ],
)
def test_pepper_must_be_a_long_string(pepper, fault):
    with pytest.raises(ConfigurationError) as info:
        load_pepper(pepper)

    assert fault == str(info.value)


@pytest.mark.parametrize(
    "keys",
    [{}, {KEY: ""}, {KEY: []}, {KEY: [""]}, {KEY: ["churn", ""]}, {KEY: [1]}, {KEY: None}, {KEY: 5}, [KEY]],
    ids=repr,
)
def test_memory_key_store_rejects_keys_without_scope(keys):
    """And mappings without keys."""
    with pytest.raises(ConfigurationError, match="keys"):
        MemoryKeyStore(keys)


@pytest.mark.parametrize(
    ("deployments", "name", "expected"),
    [
        (None, "churn", True),
        (("churn",), "churn", True),
        (("churn",), "churn2", False),
        (("*",), "churn", False),
        ((), "a", False),
    ],
)
def test_principal_can_access_its_deployments(deployments, name, expected):

    assert expected == Principal("id", deployments).can_access(name)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"{KEY}=churn", {KEY: ("churn",)}),
        (f"{KEY}=churn,price\n {OTHER}=*", {KEY: ("churn", "price"), OTHER: None}),
        (f"{KEY}==churn", {KEY + "=": ("churn",)}),
        (f"sha256:{sha256(KEY)}=churn", {KEY: ("churn",)}),
    ],
    ids=["one", "two", "padded", "digest"],
)
def test_from_environ_reads_keys(monkeypatch, value, expected):
    """White space separates entries, commas deployments. A key may end in '='."""
    monkeypatch.setenv("MODELGATE_KEYS", value)
    for store in (MemoryKeyStore.from_environ(), key_store("env:MODELGATE_KEYS")):
        assert expected == {key: drive(store.find(key)).deployments for key in expected}


@pytest.mark.parametrize(
    "value", [None, "", " \n", KEY, f"{KEY}=", f"{KEY}=churn,", "short=churn", f"{OTHER}=a {KEY}"]
)
def test_from_environ_rejects_invalid_variable(monkeypatch, value):
    """The message quotes no key."""
    monkeypatch.delenv("OUR_KEYS", raising=False)
    if value is not None:
        monkeypatch.setenv("OUR_KEYS", value)
    with pytest.raises(ConfigurationError) as info:
        MemoryKeyStore.from_environ("OUR_KEYS")

    assert KEY not in str(info.value)
    assert OTHER not in str(info.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (f"{KEY}=a {OTHER}", "entry 2 of OUR_KEYS must be key=deployment"),
        (f"{KEY}=a {OTHER}=a {KEY}=b", "got the key of entry 3 twice"),
    ],
)
def test_from_environ_counts_entries_from_one(monkeypatch, value, message):
    monkeypatch.setenv("OUR_KEYS", value)
    with pytest.raises(ConfigurationError, match=message):
        MemoryKeyStore.from_environ("OUR_KEYS")


def test_key_store_accepts_own_store():
    """It only needs `find`."""
    store = MemoryKeyStore({KEY: "*"})

    assert key_store(store) is store
    assert drive(key_store({KEY: "churn"}).find(KEY)).can_access("churn")


@pytest.mark.parametrize(
    "keys",
    ["", "open", KEY, "env:", "file:keys", 3, pytest.param(object(), id="object"), [KEY], MemoryKeyStore],
    ids=repr,
)
def test_key_store_rejects_invalid_options(keys):
    """The message does not quote text that may be a key."""
    with pytest.raises(ConfigurationError, match="env:VARIABLE") as info:
        key_store(keys)

    assert KEY not in str(info.value)


@pytest.mark.parametrize("url", ["mysql://me:s3cret@host/keys", "sqlite:", "postgresql+asyncpg//s3cret"])
def test_key_store_rejects_invalid_urls(url):
    """The message does not quote the URL, which may contain a password."""
    with pytest.raises(ConfigurationError, match="keys") as info:
        key_store(url)

    assert "s3cret" not in str(info.value)


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        ("churn", {"churn predict", "churn explain", "churn read"}),
        ("churn:predict", {"churn predict"}),
        (["churn:predict", "price:read"], {"churn predict", "price read"}),
        (["churn", "price:explain"], {"churn predict", "churn explain", "churn read", "price explain"}),
        ("*:read", {"churn read", "price read"}),
        (["*:predict", "churn:read"], {"churn predict", "price predict", "churn read"}),
    ],
)
def test_scope_permits_actions_on_deployments(scopes, allowed):
    """Without an action all are permitted; a star is every deployment."""
    principal = drive(MemoryKeyStore({KEY: scopes}).find(KEY))
    may = {
        f"{deployment} {action}"
        for deployment in ("churn", "price")
        for action in ("predict", "explain", "read")
        if principal.can_access(deployment, action)
    }

    assert allowed == may


@pytest.mark.parametrize(
    ("scopes", "permitted"),
    [
        ("*", set()),
        ("churn", set()),
        ("churn:operate", {"churn"}),
        (["churn:operate", "price"], {"churn"}),
        ("*:operate", {"churn", "price"}),
    ],
)
def test_only_scopes_that_name_it_permit_operating(scopes, permitted):
    principal = Principal.from_scopes("id", parse_scopes(scopes))

    assert permitted == {name for name in ("churn", "price") if principal.can_access(name, OPERATE)}


@pytest.mark.parametrize(
    ("scopes", "covered", "uncovered"),
    [
        ("*", ["*", "churn", "churn:read", "*:predict"], ["churn:operate"]),
        ("churn", ["churn", "churn:read", "churn:outcomes"], ["*", "*:read", "price", "churn:operate"]),
        ("churn:read", ["churn:read"], ["churn", "churn:predict", "*:read", "price:read"]),
        ("*:read", ["*:read", "churn:read"], ["*", "churn", "churn:explain"]),
        (["churn:predict", "price"], ["churn:predict", "price", "price:predict"], ["churn:read", "churn"]),
        ([f"churn:{action}" for action in ACTIONS], ["churn"], ["price", "*"]),
        ([f"churn:{action}" for action in ACTIONS[1:]], ["churn:read"], ["churn"]),
    ],
)
def test_principal_covers_scopes_whose_actions_it_permits(scopes, covered, uncovered):
    principal = Principal.from_scopes("id", parse_scopes(scopes))

    assert covered == [scope for scope in covered + uncovered if principal.covers(scope)]


@pytest.mark.parametrize(
    ("scopes", "invalid"),
    [
        ("a b", "['a b']"),
        ([], "none"),
        (["a", ":read"], "[':read']"),
        (None, "[None]"),
        (["a" * 65], f"['{'a' * 65}']"),
    ],
)
def test_scopes_must_be_deployments_with_or_without_action(scopes, invalid):
    with pytest.raises(ConfigurationError) as info:
        parse_scopes(scopes, option="scopes")

    assert (
        'scopes: each scope of a key must be DEPLOYMENT or DEPLOYMENT:ACTION, where DEPLOYMENT is a name or "*" for'
        " all, and ACTION is one of predict, explain, read, monitor, outcomes, operate"
        f' (got {invalid}): for example "churn" or "churn:predict"'
    ) == str(info.value)


def test_scopes_have_no_duplicates():
    assert ("churn", "a" * 64) == parse_scopes(iter(["churn", "a" * 64, "churn"]))


def test_scopes_of_a_deployment_add_to_those_of_all():
    principal = Principal.from_scopes("id", parse_scopes(["*", "churn:read"]))

    assert principal.can_access("price", "explain")
    assert principal.can_access("price")


def test_principal_requires_predicting_by_default():
    reader, caller = (Principal.from_scopes("id", (f"churn:{action}",)) for action in ("read", "predict"))
    reader.require("churn", "read")
    caller.require("churn")

    assert (False, True) == (reader.can_access("churn"), caller.can_access("churn"))
    with pytest.raises(InsufficientScope):
        reader.require("churn")
    with pytest.raises(InsufficientScope):
        caller.require("churn", "read")


def test_key_auth_rejects_missing_scope():
    """With the challenge of RFC 6750, section 3.1."""
    principal = Principal("id", ("churn",))
    principal.require("churn", "explain")
    with pytest.raises(InsufficientScope) as info:
        principal.require("price")

    assert {"www-authenticate": 'Bearer error="insufficient_scope"'} == info.value.headers


def test_two_scopes_of_one_deployment_are_one_deployment():
    """It is used for requests that name none."""
    principal = drive(MemoryKeyStore({KEY: ["churn", "churn:predict", "churn"]}).find(KEY))

    assert ("churn",) == principal.deployments
    assert ("churn", "churn:predict") == principal.scopes


def test_memory_key_store_rejects_duplicate_keys():
    """As a key and as its digest."""
    with pytest.raises(ConfigurationError, match="keys must be unique") as info:
        MemoryKeyStore({KEY: "churn", f"sha256:{sha256(KEY)}": "*"})

    assert KEY not in str(info.value)


@pytest.mark.parametrize("realm", ["", "a\nb", "a\x7f", 'a"b', "a\\b", "\u00e9", None, b"a"], ids=repr)
def test_key_auth_rejects_invalid_realm(realm):
    """It must be valid in a header."""
    with pytest.raises(ConfigurationError, match="realm"):
        KeyAuth({KEY: "*"}, realm=realm)


@pytest.mark.parametrize("scope", ["churn:write", "churn:", ":predict", "churn:predict:read", "**", "a b"])
def test_key_auth_rejects_invalid_scope(scope):
    with pytest.raises(ConfigurationError, match="churn:predict"):
        MemoryKeyStore({KEY: scope})


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["acme_test_2", *slow("mg_live", "acme")])
def test_generate_returns_random_keys_with_checksum(prefix):
    """155 random bits, of which 131 are never displayed. Every store accepts them."""
    keys = {generate(prefix) for _ in range(100)}

    assert 100 == len(keys)
    assert all(re.fullmatch(rf"{prefix}_[0-9A-Za-z]{{26}}_[0-9A-Za-z]{{6}}", key) for key in keys)
    assert all(has_valid_checksum(key) for key in keys)
    assert all(display_prefix(key) == key[: len(prefix) + 5] for key in keys)
    assert "MemoryKeyStore(100 keys)" == repr(MemoryKeyStore(dict.fromkeys(keys, "*")))


@pytest.mark.parametrize("prefix", ["", "_a", "a_", "a__b", "a-b", "\u00e9", "a" * 33, "a\n", None])
def test_generate_rejects_invalid_prefix(prefix):
    """A double click must select the whole key, and a header must be able to carry it."""
    with pytest.raises(ConfigurationError) as info:
        generate(prefix)

    expected = "prefix must be up to 32 letters and digits, with single '_' between them (got {!r})"
    assert expected.format(prefix) == str(info.value)


def test_checksum_is_crc32_in_base_62():
    """As in GitHub's tokens, so that other programs can verify it."""
    body = "mg_live_" + "A" * 26
    number, digits = (
        zlib.crc32(body.encode()),
        string.digits + string.ascii_uppercase + string.ascii_lowercase,
    )
    expected = "".join(digits[number // 62**at % 62] for at in range(5, -1, -1))

    assert has_valid_checksum(f"{body}_{expected}")


@hypothesis.given(st.data())
def test_checksum_detects_typing_errors(data):
    """One character changed, lost or doubled, or two swapped."""
    key = generate()
    at = data.draw(st.integers(0, len(key) - 2))
    other = data.draw(st.sampled_from(string.ascii_letters + string.digits + "_-\u00e9"))
    swapped = key[:at] + key[at + 1] + key[at] + key[at + 2 :]
    for broken in (
        key[:at] + other + key[at + 1 :],
        key[:at] + key[at + 1 :],
        key[:at] + other + key[at:],
        swapped,
    ):
        assert (broken == key) == has_valid_checksum(broken)
