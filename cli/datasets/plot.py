"""A picture of who has what."""

import warnings
from pathlib import Path

import numpy as np

from cli.datasets.writing import SplitRecord

_MOST_CLIENTS = 400
_MOST_LABELS = 100
_TICKS = 40


def draw(record: SplitRecord, path: Path) -> None:
    """Writes an SVG file: of each client and label how many examples, or of each client, if there are no labels. The
    same split gives the same bytes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # without pyplot, which would look for a screen

    names = list(record.clients)[:_MOST_CLIENTS]
    labels = record.labels[:_MOST_LABELS]
    with (
        rc_context({"svg.hashsalt": "fedgrass", "svg.fonttype": "none", "text.parse_math": False}),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", UserWarning)  # of letters that its font lacks: who shows the file has others
        figure = Figure(figsize=(8, min(40, 3 + 0.22 * len(names))), layout="constrained")
        axes = figure.add_subplot()
        if labels:
            counts = np.array([[record.clients[name].labels.get(label, 0) for label in labels] for name in names])
            picture = axes.imshow(counts, aspect="auto", cmap="Greens", vmin=0, interpolation="nearest")
            figure.colorbar(picture, label="examples")
            axes.set_xlabel(record.label or "label")
            axes.set_xticks(_ticks(len(labels)), [_short(labels[index]) for index in _ticks(len(labels))])
            if any(len(label) > 3 for label in labels):
                axes.tick_params(axis="x", rotation=90)
        else:
            axes.barh(range(len(names)), [record.clients[name].examples for name in names], color="seagreen")
            axes.invert_yaxis()
            axes.set_xlabel("examples")
        axes.set_yticks(_ticks(len(names)), [_short(names[index]) for index in _ticks(len(names))])
        more = len(record.clients) - len(names)
        axes.set_title(f"{record.split}, seed {record.seed}" + (f" (first {len(names)} clients)" if more > 0 else ""))
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": "fedgrass"})


def _ticks(count: int) -> list[int]:
    return list(range(0, count, -(-count // _TICKS)))


def _short(text: str) -> str:
    printable = "".join(character if character.isprintable() else "?" for character in text)
    return printable if len(printable) <= 24 else printable[:23] + "…"
