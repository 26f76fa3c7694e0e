"""Texts of others where people read them: in tables that spreadsheets open, and on pages."""

_MAX_TEXT = 1000
_MARKED = ("=", "+", "-", "@", "'")


def printable(text: str) -> str:
    """A text on one line, not too long; what can't be seen, or turns the direction of writing, is in it as escapes."""
    shown = text[:_MAX_TEXT]
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


def cell(text: str) -> str:
    """Such a text, and no formula: one that would be has an apostrophe before it, as spreadsheets have it."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(_MARKED) else shown


def text_of(cell: str) -> str:
    """The text in such a cell."""
    return cell.removeprefix("'")
