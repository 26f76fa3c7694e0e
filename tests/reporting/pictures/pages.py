"""A page as a browser's parser has it: a tree of elements, and what tests ask of it."""

from collections.abc import Iterator
from html.parser import HTMLParser

_VOID = {"meta", "link", "br", "hr", "img", "input"}


class Element:
    """An element with its attributes, its elements, and its text."""

    def __init__(self, name: str, attributes: dict[str, str | None]) -> None:
        self.name = name
        self.attributes = attributes
        self.inside: list[Element | str] = []

    def all(self, name: str = "") -> Iterator["Element"]:
        """All elements in it, those of a name if it is given."""
        for one in self.inside:
            if isinstance(one, Element):
                if name in ("", one.name):
                    yield one
                yield from one.all(name)

    def first(self, name: str) -> "Element":
        """The first element of this name."""
        return next(self.all(name))

    def of_class(self, name: str) -> list["Element"]:
        """All elements that have a class."""
        return [one for one in self.all() if name in (one.attributes.get("class") or "").split()]

    @property
    def text(self) -> str:
        """All text in it."""
        return "".join(one if isinstance(one, str) else one.text for one in self.inside)

    def section(self, name: str) -> "Element":
        """The section of this name."""
        return next(one for one in self.all("section") if one.attributes["id"] == name)

    def table(self, caption: str) -> list[list[str]]:
        """The rows of the table with this caption, that of its columns first."""
        (found,) = (one for one in self.all("table") if one.first("caption").text == caption)
        return [[cell.text for cell in row.all() if cell.name in ("th", "td")] for row in found.all("tr")]

    def chart(self, title: str) -> "Element":
        """The figure with this title."""
        (found,) = (one for one in self.all("figure") if one.first("figcaption").text == title)
        return found


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        one = Element(tag, dict(attrs))
        self.open[-1].inside.append(one)
        if tag not in _VOID:
            self.open.append(one)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().name == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)


def parsed(text: str) -> Element:
    """The page; all that was opened is closed, in order."""
    parser = _Parser()
    parser.feed(text)
    parser.close()
    (root,) = parser.open
    return root
