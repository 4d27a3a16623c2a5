"""Keys: what a store keeps, accepts and finds."""

import gc
import hashlib
import re
import string
import zlib

import hypothesis
import pytest
from hypothesis import strategies as st

from modelgate import KeyAuth
from modelgate.errors import ConfigurationError, InsufficientScope
from modelgate.flow import drive
from modelgate.keys import MemoryKeyStore, Principal, generate, is_intact, key_store
from modelgate.keys.generate import shown

KEY, OTHER = "k" * 8 + "-first-key", "another-key-that-is-long"


def sha256(key):
    return hashlib.sha256(key.encode()).hexdigest()


def reachable(root):
    """Everything that can be reached from *root*, but for modules and types."""
    seen, todo = {}, [root]
    while todo:
        item = todo.pop()
        if id(item) in seen or isinstance(item, type) or callable(item):
            continue
        seen[id(item)] = item
        todo += gc.get_referents(item) + list(getattr(item, "__dict__", {}).values())
    return list(seen.values())


def test_a_store_keeps_digests_and_no_key():
    """Neither its text nor anything it holds spells a key."""
    store = MemoryKeyStore({KEY: "churn", OTHER: ["churn", "price"]})
    drive(store.find(KEY))
    drive(store.find(KEY.upper()))
    told = [item for item in reachable(store) if isinstance(item, str | bytes | bytearray)]

    assert bytes.fromhex(sha256(KEY)) in told
    for item in [*told, repr(store), str(vars(store))]:
        text = item if isinstance(item, str) else bytes(item).decode("latin-1")
        assert KEY not in text
        assert OTHER not in text


def test_a_store_tells_how_many_keys_it_has():
    """And nothing of them."""

    assert "MemoryKeyStore(2 keys)" == repr(MemoryKeyStore({KEY: "churn", OTHER: "*"}))


@pytest.mark.parametrize(
    ("deployments", "kept"),
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
def test_a_key_is_found(entry, deployments, kept):
    """Given plainly or by its digest, it is the same principal."""
    store = MemoryKeyStore({entry: deployments})

    assert Principal(sha256(KEY)[:12], kept) == drive(store.find(KEY))


def test_a_digest_is_no_key():
    """Who reads the configuration holds no key."""
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
def test_what_was_meant_as_a_digest_does_not_become_a_key(entry):
    """A digest that is misspelled is read as a digest or refused: never does the configured text open the gate."""
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
def test_odd_text_is_nobodys_key(key):
    """Any text at all may be asked for."""

    assert drive(MemoryKeyStore({KEY: "*"}).find(key)) is None


@pytest.mark.parametrize("key", ["k" * 16, "k" * 256, "mg_an-older-key-of-modelgate"])
def test_a_key_of_any_accepted_length_is_found(key):
    """16 to 256 characters."""

    assert drive(MemoryKeyStore({key: "*"}).find(key)) is not None


@pytest.mark.parametrize(
    ("key", "fault"),
    [("\u00e9" * 16, "not ASCII"), ("mg_live_" + "k" * 33, "checksum"), (generate()[:-1] + "-", "checksum")],
    ids=["accents", "no checksum", "misspelled"],
)
def test_a_key_that_nobody_could_use_is_refused_and_not_shown(key, fault):
    """One that is not ASCII, or is a generated one not copied whole."""
    with pytest.raises(ConfigurationError, match=fault) as info:
        MemoryKeyStore({key: "*"})

    assert key not in str(info.value)


@pytest.mark.parametrize("key", ["", "k" * 15, "k" * 257])
def test_a_key_too_short_or_too_long_is_refused_and_not_shown(key):
    """Its length is told, the key is not."""
    with pytest.raises(ConfigurationError, match=f"{len(key)} characters") as info:
        MemoryKeyStore({key: "*"})

    assert not key or key not in str(info.value)


@pytest.mark.parametrize(
    "keys",
    [{}, {KEY: ""}, {KEY: []}, {KEY: [""]}, {KEY: ["churn", ""]}, {KEY: [1]}, {KEY: None}, {KEY: 5}, [KEY]],
    ids=repr,
)
def test_a_key_that_opens_nothing_is_refused(keys):
    """So is a store without keys."""
    with pytest.raises(ConfigurationError, match="keys"):
        MemoryKeyStore(keys)


@pytest.mark.parametrize(
    ("deployments", "asked", "may"),
    [
        (None, "churn", True),
        (("churn",), "churn", True),
        (("churn",), "churn2", False),
        (("*",), "churn", False),
        ((), "a", False),
    ],
)
def test_a_principal_may_use_its_deployments(deployments, asked, may):
    """Every one, or those named, by their whole name."""

    assert may == Principal("id", deployments).may_use(asked)


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (f"{KEY}=churn", {KEY: ("churn",)}),
        (f"{KEY}=churn,price\n {OTHER}=*", {KEY: ("churn", "price"), OTHER: None}),
        (f"{KEY}==churn", {KEY + "=": ("churn",)}),
        (f"sha256:{sha256(KEY)}=churn", {KEY: ("churn",)}),
    ],
    ids=["one", "two", "padded", "digest"],
)
def test_keys_come_from_the_environment(monkeypatch, told, found):
    """Entries parted by white space, deployments by commas; a key may end in '='."""
    monkeypatch.setenv("MODELGATE_KEYS", told)
    for store in (MemoryKeyStore.from_environ(), key_store("env:MODELGATE_KEYS")):
        assert found == {key: drive(store.find(key)).deployments for key in found}


@pytest.mark.parametrize(
    "told", [None, "", " \n", KEY, f"{KEY}=", f"{KEY}=churn,", "short=churn", f"{OTHER}=a {KEY}"]
)
def test_an_environment_without_keys_is_refused(monkeypatch, told):
    """What is wrong is told, no key is."""
    monkeypatch.delenv("OUR_KEYS", raising=False)
    if told is not None:
        monkeypatch.setenv("OUR_KEYS", told)
    with pytest.raises(ConfigurationError) as info:
        MemoryKeyStore.from_environ("OUR_KEYS")

    assert KEY not in str(info.value)
    assert OTHER not in str(info.value)


def test_a_key_store_is_taken_as_it_is():
    """A store of one's own needs only `find`."""
    store = MemoryKeyStore({KEY: "*"})

    assert key_store(store) is store
    assert drive(key_store({KEY: "churn"}).find(KEY)).may_use("churn")


@pytest.mark.parametrize(
    "keys",
    ["", "open", KEY, "env:", "file:keys", 3, pytest.param(object(), id="object"), [KEY], MemoryKeyStore],
    ids=repr,
)
def test_what_is_no_key_store_is_refused(keys):
    """The forms accepted are told; what may be a key is not."""
    with pytest.raises(ConfigurationError, match="env:VARIABLE") as info:
        key_store(keys)

    assert KEY not in str(info.value)


@pytest.mark.parametrize("url", ["mysql://me:s3cret@host/keys", "sqlite:", "postgresql+asyncpg//s3cret"])
def test_a_url_that_is_no_key_store_is_refused_and_not_shown(url):
    """It may hold a password."""
    with pytest.raises(ConfigurationError, match="accepts") as info:
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
def test_a_scope_is_a_deployment_and_an_action(scopes, allowed):
    """Without an action it is for every one; a star is every deployment."""
    principal = drive(MemoryKeyStore({KEY: scopes}).find(KEY))
    may = {
        f"{deployment} {action}"
        for deployment in ("churn", "price")
        for action in ("predict", "explain", "read")
        if principal.may_use(deployment, action)
    }

    assert allowed == may


def test_who_may_not_is_told_so():
    """With the challenge of RFC 6750, section 3.1."""
    principal = Principal("id", ("churn",))
    principal.require("churn", "explain")
    with pytest.raises(InsufficientScope) as info:
        principal.require("price")

    assert {"www-authenticate": 'Bearer error="insufficient_scope"'} == info.value.headers


def test_a_deployment_that_two_scopes_name_is_one():
    """Who asks for none in particular is not asked which of the two."""
    principal = drive(MemoryKeyStore({KEY: ["churn", "churn:predict", "churn"]}).find(KEY))

    assert ("churn",) == principal.deployments
    assert ("churn", "churn:predict") == principal.scopes


def test_a_key_given_twice_is_refused():
    """Plainly and by its digest: the second would take the first one's place."""
    with pytest.raises(ConfigurationError, match="twice") as info:
        MemoryKeyStore({KEY: "churn", f"sha256:{sha256(KEY)}": "*"})

    assert KEY not in str(info.value)


@pytest.mark.parametrize("realm", ["", "a\nb", "a\x7f", 'a"b', "a\\b", "\u00e9", None, b"a"], ids=repr)
def test_a_realm_that_cannot_be_sent_is_refused(realm):
    """A header field could not carry it, or would end there."""
    with pytest.raises(ConfigurationError, match="realm"):
        KeyAuth({KEY: "*"}, realm=realm)


@pytest.mark.parametrize("scope", ["churn:write", "churn:", ":predict", "churn:predict:read", "**", "a b"])
def test_what_is_no_scope_is_refused(scope):
    """Its form is told."""
    with pytest.raises(ConfigurationError, match="churn:predict"):
        MemoryKeyStore({KEY: scope})


@pytest.mark.parametrize("prefix", ["mg_live", "acme", "acme_test_2"])
def test_generated_keys_are_random_and_intact(prefix):
    """26 characters of base 62 and a checksum: 155 bits, 131 of them never shown; any store takes them."""
    keys = {generate(prefix) for _ in range(1000)}

    assert 1000 == len(keys)
    assert all(re.fullmatch(rf"{prefix}_[0-9A-Za-z]{{26}}_[0-9A-Za-z]{{6}}", key) for key in keys)
    assert all(is_intact(key) for key in keys)
    assert all(shown(key) == key[: len(prefix) + 5] for key in keys)
    assert "MemoryKeyStore(1000 keys)" == repr(MemoryKeyStore(dict.fromkeys(keys, "*")))


@pytest.mark.parametrize("prefix", ["", "_a", "a_", "a__b", "a-b", "\u00e9", "a" * 33, "a\n", None])
def test_a_prefix_of_another_form_is_refused(prefix):
    """A double click selects the whole key, and a header can carry it."""
    with pytest.raises(ConfigurationError, match="prefix="):
        generate(prefix)


def test_the_checksum_is_crc32_in_base_62():
    """As in GitHub's tokens, so that other programs can tell a key too."""
    body = "mg_live_" + "A" * 26
    number, digits = (
        zlib.crc32(body.encode()),
        string.digits + string.ascii_uppercase + string.ascii_lowercase,
    )
    expected = "".join(digits[number // 62**at % 62] for at in range(5, -1, -1))

    assert is_intact(f"{body}_{expected}")


@hypothesis.given(st.data())
def test_a_key_that_was_not_copied_whole_is_told(data):
    """One character changed, lost or doubled, or two swapped, breaks the checksum."""
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
        assert (broken == key) == is_intact(broken)
