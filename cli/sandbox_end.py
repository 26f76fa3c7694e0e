"""What a command says when the sandbox that it has comes to its end."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from cli.interruptions import interrupted_once


@contextlib.contextmanager
def told_of_end(keep: Path | None, tell: Callable[[str], None]) -> Iterator[None]:
    """For as long as a sandbox is up. What interrupts it is told at once; further interruptions are ignored while it is
    taken down. At last it is told where things are kept, if any are: `keep` had nothing in it before."""
    stopping = "stopping" if keep is None else f"stopping, and keeping what there is in {keep}"
    with interrupted_once(lambda: tell(f"{stopping}: that takes some seconds")):
        try:
            yield
        finally:
            if keep is not None and has_kept(keep):
                tell(kept_in(keep))


def has_kept(keep: Path) -> bool:
    """Whether anything is kept in the folder."""
    return keep.is_dir() and any(keep.iterdir())


def kept_in(keep: Path | str) -> str:
    """Where things are kept."""
    return f"logs, objects, records and the devices' directories are in {keep}"
