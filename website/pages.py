"""The pages of the site: docs/ as it is, the reference, and the files of the project that docs/ points to."""

import re
import shutil
from collections.abc import Iterator
from os.path import relpath
from pathlib import Path, PurePosixPath

from website.reference import REFERENCE

ROOT = Path(__file__).parent.parent
DOCUMENTS = ROOT / "docs"
STYLE = ROOT / "website" / "style.css"
SOURCES = PurePosixPath("source")
"""Where the pages of files outside docs/ are."""

_LINK = re.compile(r"\]\((\.\./[^)#\s]+)((?:#[^)]*)?)\)")
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".json": "json", ".sh": "sh"}


def write(folder: Path) -> None:
    """Write all of them into a folder, in place of what it has."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DOCUMENTS, folder)
    shutil.copy(STYLE, folder)
    for name, text in pages().items():
        page = folder / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text)


def pages() -> dict[str, str]:
    """The Markdown pages, by their paths in the site."""
    documents = {path.name: path.read_text() for path in sorted(DOCUMENTS.glob("*.md"))}
    targets = {target for text in documents.values() for target, _ in _LINK.findall(text)}
    sources = dict(_source(ROOT / target.removeprefix("../")) for target in sorted(targets))
    rewritten = {
        name: _LINK.sub(lambda found: f"]({_place(found[1])}{found[2]})", text) for name, text in documents.items()
    }
    reference = {f"reference/{name}.md": page() for name, page in REFERENCE.items()}
    return rewritten | sources | reference


def _place(target: str) -> str:
    """Where the page of a file outside docs/ is, seen from a page of docs/."""
    return str(SOURCES / f"{target.removeprefix('../').rstrip('/')}.md")


def _source(path: Path) -> tuple[str, str]:
    """The page of a file, or of a folder with the files in it."""
    name = path.relative_to(ROOT).as_posix()
    return str(SOURCES / f"{name}.md"), f"# {name}\n\n" + "\n".join(_shown(path))


def _shown(path: Path) -> Iterator[str]:
    if path.is_file():
        yield f"```{_LANGUAGES.get(path.suffix, 'text')}\n{path.read_text().rstrip()}\n```\n"
        return
    for file in sorted(path.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts and file.stat().st_size:
            yield f"## {relpath(file, path)}\n"
            yield from _shown(file)
