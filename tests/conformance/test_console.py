"""The console's page, through every mount. What it does in a browser is in `tests/browser`."""

import base64
import gzip
import hashlib
import re

import pytest

from support.keys import KEY
from support.mounts import Mounted, make_gate

LARGEST = 150_000
PATH = "/deployments/wine/console"


def test_console_needs_no_key_and_reveals_nothing(mounted):
    """The page is the same for any name."""
    answers = [
        mounted.request("GET", f"/deployments/{name}/console") for name in ("wine", "paused", "nothing")
    ]

    assert [200, 200, 200] == [answer.status for answer in answers]
    assert 1 == len({answer.body for answer in answers})
    assert "text/html; charset=utf-8" == answers[0].header("content-type")


def test_console_content_security_policy(mounted):
    """Script and style are allowed by digest, connections only to the gate's own host."""
    answer = mounted.request("GET", PATH)
    page = answer.body.decode()
    policy = dict(part.split(" ", 1) for part in answer.header("content-security-policy").split("; "))
    inline = re.findall(r"<(script|style)[^>]*>(.*?)</\1>", page, re.DOTALL)
    digests = {
        f"{tag}-src": base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for tag, text in inline
    }

    assert {
        "default-src": "'none'",
        "img-src": "data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        **{name: f"'sha256-{digest}'" for name, digest in digests.items()},
    } == policy
    assert {"script-src", "style-src"} == digests.keys()
    assert ["DENY", "nosniff", "no-referrer"] == [
        answer.header(name) for name in ("x-frame-options", "x-content-type-options", "referrer-policy")
    ]
    forbidden = r"\s(?:on\w+|style|src)=|\burl\((?!.data:)|@import|innerHTML|Storage|cookie|eval\("
    assert [] == re.findall(forbidden, page)


def test_console_is_small_and_cached(mounted):
    answer = mounted.request("GET", PATH)
    again = mounted.request("GET", PATH, headers={"if-none-match": answer.header("etag")})
    other = mounted.request("GET", PATH, headers={"if-none-match": '"of-another-version"'})

    assert len(answer.body) < LARGEST
    assert "no-cache" == answer.header("cache-control")
    assert (304, b"", answer.header("etag")) == (again.status, again.body, again.header("etag"))
    assert (200, answer.body) == (other.status, other.body)


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [
        ("gzip, br", True),
        ("br;q=1, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("br, gzip;q=0.0", False),
        ("br", False),
    ],
)
def test_console_is_compressed_on_request(mounted, accepted, is_compressed):
    """Its ETag differs from that of the plain page."""
    plain = mounted.request("GET", PATH)
    answer = mounted.request("GET", PATH, headers={"accept-encoding": accepted})
    tag = {"if-none-match": answer.header("etag"), "accept-encoding": accepted}
    again = mounted.request("GET", PATH, headers=tag)

    assert plain.body == (gzip.decompress(answer.body) if is_compressed else answer.body)
    assert ("gzip" if is_compressed else None) == answer.header("content-encoding")
    assert is_compressed == (plain.header("etag") != answer.header("etag"))
    assert is_compressed == (len(answer.body) < 50_000)
    assert (304, "accept-encoding") == (again.status, again.header("vary"))


def test_console_knows_whether_a_key_is_needed(mount, wine):
    keyed, opened = (Mounted(mount, make_gate(wine, keys=keys)) for keys in ({KEY: "wine"}, "open"))

    assert b'data-keyed="yes"' in keyed.request("GET", PATH).body
    assert b'data-keyed="no"' in opened.request("GET", PATH).body


def test_console_can_be_turned_off(mount, wine):
    mounted = Mounted(mount, make_gate(wine, console=False))

    assert 404 == mounted.request("GET", PATH).status


def test_console_is_compressed_once_for_all_gates(wine, monkeypatch):
    """Compressing takes several times as long as all else that a gate does when it is created."""
    make_gate(wine)
    monkeypatch.setattr(gzip, "compress", None)

    assert 200 == Mounted("wsgi", make_gate(wine)).request("GET", PATH).status
