"""The lines that the documents show to be typed."""

import re

from tests.docs.markdown import blocks

PROGRAM = re.compile(
    r"(\.venv/bin/)?fedgrass |(\.venv/bin/)?python3? |make |pip |gdk |aws |sudo |curl |unzip |export |\(cd |[A-Z]+="
)


def typed() -> list[str]:
    """Each line once, in the order of the documents."""
    joined = "\n".join(block.text for block in blocks("")).replace("\\\n", " ")
    lines = (line.partition(" #")[0].strip() for line in joined.splitlines())
    return list(dict.fromkeys(line for line in lines if PROGRAM.match(line)))
