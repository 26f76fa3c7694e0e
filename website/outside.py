"""Whether a site is whole by itself: what its pages load must be in it."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

_LOADED = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src", "object": "data"}
_NOT_LOADED = {"canonical", "next", "prev", "alternate"}
"""Relations of a link that a browser does not follow by itself."""


class Loaded(NamedTuple):
    """What a page loads."""

    page: Path
    address: str


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        address = given.get(_LOADED.get(tag, ""))
        if address and given.get("rel") not in _NOT_LOADED:
            self.addresses.append(address)


def outside(site: Path) -> list[Loaded]:
    """What the pages, styles and drawings of a site load from elsewhere."""
    return list(_of_pages(site))


def _of_pages(site: Path) -> Iterator[Loaded]:
    for page in sorted(site.rglob("*.html")):
        found = _Page()
        found.feed(page.read_text())
        for address in found.addresses:
            if "//" in address.partition("?")[0] and not address.startswith("data:"):
                yield Loaded(page, address)
    for style in sorted([*site.rglob("*.css"), *site.rglob("*.svg")]):
        for part in style.read_text().split("url(")[1:]:
            address = part.partition(")")[0].strip("'\"")
            if address.startswith(("http:", "https:", "//")):
                yield Loaded(style, address)
