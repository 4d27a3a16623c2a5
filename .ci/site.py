"""The built documentation asks nothing of other hosts: a page loads from its own site alone."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

LOADING = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "modulepreload", "manifest"}
OUTSIDE = re.compile(r"(?:https?:)?//")


class Page(HTMLParser):
    """Collects the addresses that a browser loads for a page."""

    def __init__(self, text):
        super().__init__()
        self.loaded = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        """Note what *tag* has the browser load: a link that is followed by hand is none."""
        told = dict(attributes)
        if tag == "link" and not LOADING & set((told.get("rel") or "").split()):
            return
        if tag != "a":
            self.loaded += [told[name] for name in ("src", "href", "data", "poster") if told.get(name)]


site = Path(sys.argv[1])
pages, sheets = sorted(site.rglob("*.html")), sorted(site.rglob("*.css"))
assert pages and sheets, f"{site} has no site"
outside = [(page, url) for page in pages for url in Page(page.read_text()).loaded if OUTSIDE.match(url)]
for sheet in sheets:
    found = re.findall(r"url\(\s*['\"]?([^'\")]*)|@import\s+['\"]([^'\"]*)", sheet.read_text())
    outside += [(sheet, url) for urls in found for url in urls if OUTSIDE.match(url)]
if outside:
    sys.exit("loaded from elsewhere: " + ", ".join(f"{url} ({file})" for file, url in outside))
print(f"{len(pages)} pages, and nothing is loaded from elsewhere")
