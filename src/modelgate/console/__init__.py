"""Console: a page with a form to call a deployment from the browser.

The page is a single file. Its Content-Security-Policy allows requests only to the gate that serves it.

The page contains no data, and is the same for every deployment, even for a deployment that does not exist.
With the user's key, the script in the page fetches the data to show.
"""

import base64
import gzip
import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from ..flow import Flow
from ..http import Request, Response
from ..http.routing import Route

__all__ = ["route"]

_MAIN = "page.mjs"
"""Module of the script that starts the page."""

_IMPORT = re.compile(r'import .* from "\./([\w-]+\.mjs)";')

_LINE_WITHOUT_TEXT = re.compile(r"""^[^"'`/\n]+$""", re.MULTILINE)
"""Line of a script without strings, regular expressions and comments. None of these spans several lines."""

_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))")
"""Accept-Encoding value that accepts gzip."""


def route(*, keyed: bool, key_header: str | None = None) -> Route:
    """Return the route of the page.

    Args:
        keyed: Whether requests need an API key. If so, the page starts with a field for the key.
        key_header: Header field in which the page sends the key, by default ``"authorization"``.
    """
    page, compressed, headers = _build_page(keyed, key_header or "authorization")
    headers = (*headers, ("cache-control", "no-cache"), ("vary", "accept-encoding"))
    digest = _digest(page)

    def respond(request: Request) -> Flow[Response]:
        yield from ()
        is_compressed = _GZIP.search(request.headers.get("accept-encoding") or "") is not None
        # Each encoding has an ETag of its own (RFC 9110, section 8.8.3.3).
        etag = f'"{digest}-gzip"' if is_compressed else f'"{digest}"'
        if etag in (request.headers.get("if-none-match") or ""):
            return Response(304, headers=[*headers, ("etag", etag)])
        encoding = [("content-encoding", "gzip")] if is_compressed else []
        return Response(200, compressed if is_compressed else page, [*headers, ("etag", etag), *encoding])

    return Route("GET", "/deployments/{deployment}/console", respond, is_public=True)


# Cached: building and compressing the page takes 10 ms, and the rest of a gate 2 ms.
@lru_cache(maxsize=4)
def _build_page(keyed: bool, key_header: str) -> tuple[bytes, bytes, Sequence[tuple[str, str]]]:
    """Return the page, the page compressed by gzip, and its security headers."""
    # Without the spaces around punctuation, the page is 7 kB smaller.
    style = re.sub(r"\s*([{};,]|:(?= ))\s*", r"\1", _read_source("console.css"))
    script = _LINE_WITHOUT_TEXT.sub(_squeeze, _bundle(_MAIN))
    page = _read_source("page.html").replace("{keyed}", "yes" if keyed else "no")
    page = page.replace("{key-header}", key_header)
    page = page.replace("{style}", style).replace("{script}", script)
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src 'sha256-{_digest(script.encode())}'",
            f"style-src 'sha256-{_digest(style.encode())}'",
            "img-src data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ]
    )
    content = page.encode()
    return (
        content,
        gzip.compress(content, mtime=0),
        (
            ("content-type", "text/html; charset=utf-8"),
            ("content-security-policy", policy),
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ),
    )


def _bundle(name: str, bundled: set[str] | None = None) -> str:
    """Return the source of the JavaScript module *name*, after the sources of the modules it imports.

    The modules share one scope, so no two of them may declare the same name. Modules in *bundled* are left
    out. The names of the other modules are added to *bundled*.
    """
    bundled = {name} if bundled is None else bundled
    source, before = _read_source(name), ""
    for imported in _IMPORT.findall(source):
        if imported not in bundled:
            bundled.add(imported)
            before += _bundle(imported, bundled)
    return before + re.sub("^export ", "", _IMPORT.sub("", source), flags=re.MULTILINE)


def _squeeze(line: re.Match[str]) -> str:
    return re.sub(r" *([{}(),;:=<>?&|]) *", r"\1", line[0])


def _read_source(name: str) -> str:
    """Return the text of a file without comments, indentation and blank lines."""
    lines = map(str.strip, (Path(__file__).parent / name).read_text("utf-8").splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("// ")) + "\n"


def _digest(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()
