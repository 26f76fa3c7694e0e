"""The pages of the site: each is reached, each link leads to one, and nothing is loaded from elsewhere."""

import re
from pathlib import Path, PurePosixPath

import pytest
import yaml

from tests.paths import ROOT
from website.markdown import prose, table
from website.outside import outside
from website.pages import pages, write

PAGES = pages()
LINK = re.compile(r"\]\(([^)\s#]+)(#[^)]*)?\)")


class _Plain(yaml.SafeLoader):
    """Passes over what only mkdocs can make."""


_Plain.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def listed(navigation: object) -> set[str]:
    """The pages in the navigation."""
    if isinstance(navigation, str):
        return {navigation}
    values = navigation.values() if isinstance(navigation, dict) else navigation
    assert hasattr(values, "__iter__")
    return {page for value in values for page in listed(value)}


def test_every_page_is_in_the_navigation_but_the_files_that_pages_show() -> None:
    navigation = yaml.load((ROOT / "website" / "mkdocs.yml").read_text(), _Plain)["nav"]  # noqa: S506 - a safe loader
    assert listed(navigation) == {name for name in PAGES if not name.startswith("source/")}


@pytest.mark.parametrize("page", PAGES)
def test_links_stay_in_the_site(page: str, site: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", PAGES[page], flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`[^`]*`", "", text)
    for target, _ in LINK.findall(text):
        if not target.startswith("https://"):
            assert (site / PurePosixPath(page).parent / target).resolve().is_file(), target


@pytest.mark.parametrize("page", PAGES)
def test_lists_are_written_so_that_both_readers_of_markdown_take_them_for_lists(page: str) -> None:
    """That of the site is stricter: a list begins behind an empty line, and goes on after one if it is set in by 4."""
    text = re.sub(r"^```.*?^```$", "", PAGES[page], flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"\n\n {1,3}\S.*", text) == []
    assert re.findall(r"\n(?![-#| ]|\d+\. |\n)[^\n]+\n(?:- |\d+\. )[^\n]*", text) == []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "pages"
    write(folder)
    return folder


def test_pages_of_an_earlier_site_go(tmp_path: Path) -> None:
    (tmp_path / "earlier.md").write_text("")
    write(tmp_path)
    assert not (tmp_path / "earlier.md").exists()
    assert (tmp_path / "reference" / "errors.md").is_file()


def test_a_file_outside_the_documents_is_shown_as_it_is() -> None:
    task = (ROOT / "components" / "tasks" / "mnist" / "task.py").read_text()
    assert f"```python\n{task.rstrip()}\n```" in PAGES["source/components/tasks/mnist.md"]


def test_what_is_loaded_from_elsewhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<a href="https://example.com">said</a><link rel="canonical" href="https://example.com/">'
        '<script src="https://cdn.example.com/x.js"></script><img src="//example.com/x.png">'
        '<img src="data:image/png,//">'
        '<link rel="stylesheet" href="assets/x.css">'
    )
    (tmp_path / "x.css").write_text("@import url('https://fonts.example.com/x'); a { background: url(x.png) }")
    assert [address for _, address in outside(tmp_path)] == [
        *("https://cdn.example.com/x.js", "//example.com/x.png", "https://fonts.example.com/x")
    ]


def test_texts_that_were_written_for_other_readers_are_shown_as_they_are() -> None:
    assert prose("a *b* <c> `d_*`, e_f [g]") == r"a \*b\* \<c\> `d_*`, e\_f \[g\]"
    assert table(("a",), [("one\ntwo",)]) == "| a |\n| --- |\n| one two |\n"
