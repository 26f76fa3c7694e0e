"""Files that are whole, or not there, when the process is killed."""

from pathlib import Path


def replace(path: Path, *parts: bytes) -> None:
    """Replaces a file by these bytes in one step. Unlike what `components.client.durable` writes, it may be lost when
    the machine loses power."""
    temporary = path.with_suffix(".new")
    try:
        with temporary.open("wb") as file:
            file.writelines(parts)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
