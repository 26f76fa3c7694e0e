"""Recognizes what a source of data is, and opens it."""

from pathlib import Path
from typing import Final

from cli.datasets import files as of_source
from cli.datasets import idx, pictures
from cli.datasets.dataset import DatasetError, Source, named

FORMATS: Final = "CSV, Parquet, NPZ, NPY, folders of pictures (one a label), or MNIST's IDX files"

_ENDINGS: Final = {
    ".csv": "csv",
    ".tsv": "csv",
    ".csv.gz": "csv",
    ".tsv.gz": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".npz": "npz",
    ".npy": "npy",
}
_REMEDIES: Final = {
    ".xlsx": "save the sheet as CSV, UTF-8",
    ".xls": "save the sheet as CSV, UTF-8",
    ".ods": "save the sheet as CSV, UTF-8",
    ".json": "write it as CSV or Parquet",
    ".jsonl": "write it as CSV or Parquet",
    ".feather": "write it as Parquet",
    ".arrow": "write it as Parquet",
    ".h5": "write its arrays with numpy.savez",
    ".hdf5": "write its arrays with numpy.savez",
    ".mat": "write its arrays with numpy.savez",
    ".pt": "write its tensors with numpy.savez",
    ".pth": "write its tensors with numpy.savez",
    ".pkl": "it could run code when it is read, so it never is; write its arrays with numpy.savez",
    ".pickle": "it could run code when it is read, so it never is; write its arrays with numpy.savez",
    ".zip": "unpack it first",
    ".tar": "unpack it first",
    ".tgz": "unpack it first",
    ".tar.gz": "unpack it first",
    ".7z": "unpack it first",
    ".txt": "if it has columns, give it the ending .csv",
}
_NAMED = 3


def open_source(path: Path) -> Source:
    """What lies at this path: a file, or a folder of files of one kind.

    Raises:
        DatasetError: there is nothing, or nothing that is known; or it can't be read. The text says what to do.
    """
    path = path.absolute()
    if path.is_file():
        kind = _kind(path)
        if kind is None or kind == "idx":
            remedy = f"name its folder: {path.parent}" if kind == "idx" else _remedy(path)
            raise DatasetError(f"{path} is not among what can be read ({FORMATS}): {remedy}")
        if kind == "pictures":
            raise DatasetError(f"{path} is a single picture: name the folder that holds a folder for each label")
        return _open(kind, path, [path], ())
    if not path.is_dir():
        raise DatasetError(f"{path} does not exist: name a file or a folder with your data ({FORMATS})")
    found, left_out = of_source.walk(path)
    by_kind: dict[str, list[Path]] = {}
    for file in found:
        if kind := _kind(file):
            by_kind.setdefault(kind, []).append(file)
        else:
            left_out.append(f"{file}: not among what can be read")
    if not by_kind:
        some = f" (only {', '.join(file.name for file in found[:_NAMED])})" if found else ": it is empty"
        raise DatasetError(f"{path} holds no data{some}; what can be there: {FORMATS}, or one folder a client")
    if len(by_kind) > 1:
        told = " and ".join(f"{kind} ({files[0].relative_to(path)})" for kind, files in sorted(by_kind.items()))
        raise DatasetError(f"{path} holds data of several kinds, {told}: leave one kind there, or name one file")
    ((kind, files),) = by_kind.items()
    parts = {file.name.split(".")[0].lower(): file for file in files}
    if len(files) == 2 and parts.keys() == {"train", "test"}:
        return _in_two_parts(kind, path, parts, _summed_up(left_out))
    return _open(kind, path, files, _summed_up(left_out))


def _in_two_parts(kind: str, path: Path, parts: dict[str, Path], left_out: tuple[str, ...]) -> Source:
    """A folder with a file to train on and a file for tests, which is its holdout."""
    train, test = (
        _open(kind, parts[name], [parts[name]], left_out if name == "train" else ()) for name in ("train", "test")
    )
    if set(train.examples.columns) != set(test.examples.columns):
        unlike = sorted(set(train.examples.columns) ^ set(test.examples.columns))[:_NAMED]
        raise DatasetError(
            f"{parts['test']} has other columns than {parts['train']} ({', '.join(map(named, unlike))}): "
            f"name {parts['train']} itself, if only that has labels"
        )
    return Source(path, kind, tuple(parts[name] for name in sorted(parts)), train.examples, test.examples)


def is_data(file: Path) -> bool:
    """Whether a file's name says that it holds data which can be read."""
    return not file.name.startswith(".") and _kind(file) is not None


def _open(kind: str, path: Path, files: list[Path], left_out: tuple[str, ...]) -> Source:
    match kind:
        case "csv":
            from cli.datasets import tables

            return tables.open_csv(path, files, left_out)
        case "parquet":
            from cli.datasets import tables

            return tables.open_parquet(path, files, left_out)
        case "npz":
            from cli.datasets import arrays

            return arrays.open_npz(path, files, left_out)
        case "npy":
            from cli.datasets import arrays

            return arrays.open_npy(path, files, left_out)
        case "idx":
            return idx.open_folder(path, files)
        case _:
            return pictures.open_pictures(path, files, left_out)


def _kind(file: Path) -> str | None:
    name = file.name.lower()
    for ending, kind in _ENDINGS.items():
        if name.endswith(ending):
            return kind
    if idx.is_idx(file):
        return "idx"
    return "pictures" if pictures.is_picture(file) else None


def _remedy(file: Path) -> str:
    name = file.name.lower()
    return next((remedy for ending, remedy in _REMEDIES.items() if name.endswith(ending)), "write it as one of these")


def _summed_up(left_out: list[str]) -> tuple[str, ...]:
    """All that was left out, told as one note."""
    if not left_out:
        return ()
    more = len(left_out) - _NAMED
    return (f"left out: {'; '.join(left_out[:_NAMED])}{f'; and {more} more' if more > 0 else ''}",)
