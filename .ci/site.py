"""Check that the built documentation loads nothing from other hosts, and that no code is cut off."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

LOADING = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "modulepreload", "manifest"}
OUTSIDE = re.compile(r"(?:https?:)?//")
MAX_COLUMNS = 110
"""Columns of a code block that a browser shows in a window of 1280 pixels."""


class Page(HTMLParser):
    """Collect the URLs that a browser loads for a page, and its code."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.code, self._is_in_code = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        """Collect the URLs that *tag* loads. Links to click are not loaded."""
        values = dict(attributes)
        self._is_in_code |= tag == "pre"
        if tag == "link" and not LOADING & set((values.get("rel") or "").split()):
            return
        if tag != "a":
            self.loaded += [values[name] for name in ("src", "href", "data", "poster") if values.get(name)]

    def handle_endtag(self, tag):
        """Note the end of a code block."""
        if tag == "pre":
            self._is_in_code = False
            self.code.append("\n")

    def handle_data(self, data):
        """Collect *data* inside code blocks."""
        if self._is_in_code:
            self.code.append(data)


site = Path(sys.argv[1])
pages, sheets = sorted(site.rglob("*.html")), sorted(site.rglob("*.css"))
assert pages and sheets, f"{site} contains no documentation"
parsed = {page: Page(page.read_text()) for page in pages}
outside = [(page, url) for page in pages for url in parsed[page].loaded if OUTSIDE.match(url)]
for sheet in sheets:
    urls_found = re.findall(r"url\(\s*['\"]?([^'\")]*)|@import\s+['\"]([^'\"]*)", sheet.read_text())
    outside += [(sheet, url) for urls in urls_found for url in urls if OUTSIDE.match(url)]
if outside:
    sys.exit("loaded from other hosts: " + ", ".join(f"{url} ({file})" for file, url in outside))
lines = ((page, line) for page in pages for line in "".join(parsed[page].code).splitlines())
cut_off = [(page, line) for page, line in lines if len(line) > MAX_COLUMNS]
if cut_off:
    sys.exit("code is cut off: " + "; ".join(f"{line} ({page})" for page, line in cut_off))
print(f"{len(pages)} pages, nothing is loaded from other hosts, no code is cut off")
