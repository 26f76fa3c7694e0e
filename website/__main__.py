"""python -m website pages FOLDER: the pages of the site, for mkdocs. python -m website check FOLDER: ends with 1 if a
page of a finished site would load something from elsewhere."""

import sys
from pathlib import Path

from website.outside import outside
from website.pages import write


def main(task: str, folder: Path) -> int:
    """Do one of the two."""
    if task == "pages":
        write(folder)
        return 0
    found = outside(folder)
    sys.stderr.writelines(f"{page} loads {address}\n" for page, address in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
