"""Tables as lines of text: columns side by side, or, where there is no room for that, each row as a block."""

from collections.abc import Sequence
from itertools import zip_longest

import msgspec

GAP = "  "


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of cells under the names of their columns. The first column and those in `texts` are set flush left, others
    flush right: they are numbers."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    title: str = ""
    texts: frozenset[str] = frozenset()

    def lines(self, width: int | None) -> list[str]:
        """The table without its title, for a screen of so many columns; for one of any width if that is None. Nothing
        is cut: names that are wider than the screen stay whole."""
        lines = [GAP.join(cells).rstrip() for cells in self.padded()]
        if width is None or max(map(_width, lines), default=0) <= width:
            return lines
        return [line for row in self.rows for line in self._block(row, width)]

    def padded(self) -> list[list[str]]:
        """The cells of the heading and of each row, each as wide as its column."""
        rows = [self.columns, *self.rows] if any(self.columns) else list(self.rows)
        widths = [max(map(_width, column)) for column in zip_longest(*rows, fillvalue="")]
        return [self._padded(row, widths) for row in rows]

    def _padded(self, row: tuple[str, ...], widths: list[int]) -> list[str]:
        cells = []
        for number, (cell, width) in enumerate(zip(row, widths, strict=False)):
            padding = " " * (width - _width(cell))
            left = number == 0 or self.columns[number] in self.texts
            cells.append(cell + padding if left else padding + cell)
        return cells

    def _block(self, row: tuple[str, ...], width: int) -> list[str]:
        lines = [f"{self.columns[0]} {row[0]}" if row[0].isdigit() else row[0]]
        for name, cell in zip(self.columns[1:], row[1:], strict=False):
            said = f"{name} {cell}".strip()
            if not cell:
                continue
            if len(lines) > 1 and _width(lines[-1]) + _width(GAP + said) <= width:
                lines[-1] += GAP + said
            else:
                lines.append(GAP + said)
        return lines


def _width(text: str) -> int:
    """In columns of a terminal."""
    from rich.cells import cell_len

    return cell_len(text)
