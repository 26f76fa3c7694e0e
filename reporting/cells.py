"""Texts of others in tables that spreadsheets open."""

_MAX_TEXT = 1000
_MARKED = ("=", "+", "-", "@", "'")


def cell(text: str) -> str:
    """A text on one line, not too long, and no formula: one that would be has an apostrophe before it, as spreadsheets
    have it themselves."""
    shown = text[:_MAX_TEXT]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
    return f"'{shown}" if shown.startswith(_MARKED) else shown


def text_of(cell: str) -> str:
    """The text in such a cell."""
    return cell.removeprefix("'")
