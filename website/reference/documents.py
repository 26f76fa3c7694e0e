"""What docs/ say of names that the code has: the reference says the same, in the same words."""

import re
from functools import cache
from pathlib import Path

DOCUMENTS = Path(__file__).parents[2] / "docs"

_SPAN = re.compile(r"`([^`]+)`")


@cache
def meanings(document: str, column: str) -> dict[str, str]:
    """The last cells of the rows of one table, by the names in code font in their first ones; `column` is the title of
    the first column."""
    text = (DOCUMENTS / document).read_text()
    found: dict[str, str] = {}
    _, _, below = text.partition(f"\n| {column} |")
    for line in below.splitlines()[2:]:
        if not line.startswith("|"):
            break
        first, *_, last = (cell.strip() for cell in line.strip("|").split(" | "))
        found |= dict.fromkeys(_SPAN.findall(first), last)
    return found
