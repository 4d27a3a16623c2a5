"""The page a mounted gate shows: a form for a deployment, in the browser.

It is one file that asks nothing but the gate it came from, and whose policy lets it do no more. It is the same
for every deployment, and for a name that is none: what it shows it fetches with the key of whoever reads it.
"""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from ..dialects import Catalog, Route
from ..flow import Flow
from ..http import Request, Response

__all__ = ["route"]

_SCRIPTS = [
    f"{part}.js"
    for part in ("dom", "csv", "requests", "answers", "code", "form", "result", "scoring", "batch", "page")
]
"""One module, and what runs at once comes last."""


def route(*, keyed: bool) -> Route:
    """Where the page is.

    Args:
        keyed: whether the gate asks for a key, for which the page then asks first.
    """
    page, headers = _page(keyed)
    tag = f'"{_digest(page)}"'
    headers = [*headers, ("etag", tag), ("cache-control", "no-cache")]

    def answer(request: Request, catalog: Catalog) -> Flow[Response]:  # noqa: ARG001  an answer takes both
        yield from ()
        known = tag in (request.headers.get("if-none-match") or "")
        return Response(304, headers=headers) if known else Response(200, page, headers)

    return Route("GET", "/deployments/{deployment}/console", answer, open=True)


def _page(keyed: bool) -> tuple[bytes, Sequence[tuple[str, str]]]:
    """The page, and the header fields that say what it may do."""
    style, script = _source("console.css"), "".join(map(_source, _SCRIPTS))
    page = _source("page.html").replace("{keyed}", "yes" if keyed else "no")
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
    return page.encode(), (
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", policy),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    )


def _source(name: str) -> str:
    """The text of a file, without what is there for its readers alone."""
    lines = map(str.strip, (Path(__file__).parent / name).read_text("utf-8").splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("// ")) + "\n"


def _digest(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()
