"""A task's folder that can't be used: what is there in place of a task, and what to do."""

import difflib
from collections.abc import Iterator
from pathlib import Path

from cli.checking.findings import Finding, at
from cli.project import Project, line_of_field
from components.task_folder import TaskFolderError

_NOTEBOOK = "in Jupyter: File, Save and Export Notebook As, Executable Script; or jupyter nbconvert --to script"
_FUNCTIONS = ("def build_model", "def load_data")

_REMEDIES = {
    "inconsistent use of tabs": "indent by spaces alone, four a step; editors can convert all tabs of a file",
    "unexpected indent": "take away the spaces at its beginning, or indent it as the line above",
    "expected an indented block": "indent the lines that belong to the one before by four spaces",
    "unindent does not match": "begin the line in the column of a line above; tabs and spaces may be mixed",
    "codec can't decode": "save the file in UTF-8, as every editor can",
    "null bytes": "save the file in UTF-8, as every editor can: it seems to be in UTF-16",
    "was never closed": "close the bracket that is opened here",
    "unterminated": "end the text on the same line, by the quote that it began with",
    "expected ':'": "end the line with a colon",
    "invalid syntax. perhaps you forgot a comma": "put a comma between the two",
    "missing parentheses in call to 'print'": "write print(...): this is Python 3",
}
_OTHER = "mend what Python can't read, here or on the line before"


def of_folder(task: Path, error: TaskFolderError) -> Iterator[Finding]:
    """What is wrong with the folder, which the build refuses with this error."""
    path = task / "task.py"
    if not path.exists():
        yield Finding(text=f"{task} has no task.py", remedy=_instead(task))
    elif is_notebook(path):
        yield a_notebook(path)
    elif error.file is not None:
        known = (remedy for text, remedy in _REMEDIES.items() if text in error.text.lower())
        yield at(error.file, error.line, error.text, next(known, _OTHER))
    else:
        text, _, remedy = str(error).rpartition("; " if "; " in str(error) else ": ")
        yield Finding(text=text or str(error), remedy=remedy)


def no_folder(project: Project) -> Finding:
    """The finding of a task that federation.yaml looks for where there is no folder."""
    is_file = project.task.is_file()
    text = f"task: {project.task} is a file" if is_file else f"task: there is no folder {project.task}"
    remedy = "name its folder, seen from federation.yaml" if is_file else "name the folder of task.py, seen from here"
    return at(project.path, line_of_field(project.path, ("task",)), text, remedy)


def a_notebook(path: Path) -> Finding:
    """The finding of a notebook where a Python file should be."""
    return Finding(text="this is a notebook, no Python file", remedy=_NOTEBOOK, file=str(path))


def is_notebook(path: Path) -> bool:
    """Whether a file holds what Jupyter saves, whatever its name."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return content.lstrip().startswith(b"{") and b'"cells"' in content


def _instead(task: Path) -> str:
    """What of the folder may be meant as task.py."""
    names = sorted(path.name for path in task.iterdir() if path.is_file())
    notebooks = [name for name in names if name.endswith(".ipynb")]
    for name in names:
        if name.endswith(".py") and any(word in _text(task / name) for word in _FUNCTIONS):
            return f"rename {name} to task.py: it has the functions of a task"
    if notebooks:
        return f"{notebooks[0]} is a notebook: make task.py of it; {_NOTEBOOK}"
    near = difflib.get_close_matches("task.py", names, n=1)
    if near:
        return f"did you mean {near[0]}? Rename it to task.py"
    return "write one with build_model() and load_data(directory, client): docs/tasks.md"


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
