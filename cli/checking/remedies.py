"""What to do about an exception that a task raised: by its kind and its text, as Python's and torch's messages are."""

import builtins
import difflib
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from cli.checking.source import distribution_of

_SHOWN_NAMES = 8
_NEAR = 0.6
_CANNOT_IMPORT = re.compile(r"cannot import name '(\w+)'")

_IMPORTS = {
    "torch": "import torch",
    "nn": "from torch import nn",
    "F": "from torch.nn import functional as F",
    "functional": "from torch.nn import functional",
    "optim": "from torch import optim",
    "Tensor": "from torch import Tensor",
    "np": "import numpy as np",
    "numpy": "import numpy",
    "pd": "import pandas as pd",
    "plt": "import matplotlib.pyplot as plt",
    "Path": "from pathlib import Path",
    **{
        name: f"from torch.utils.data import {name}"
        for name in ("DataLoader", "Dataset", "Subset", "TensorDataset", "random_split")
    },
    **{
        name: f"from fedgrass.task import {name}"
        for name in ("Client", "Data", "DeviceState", "Metrics", "Training", "checkpoint", "report_progress", "resume")
    },
    **{name: f"import {name}" for name in ("csv", "gzip", "json", "math", "os", "random", "sys", "time")},
}
"""Names that are used without being imported, and their imports."""

_BATCH = "what holds several tensors has to be taken apart first, as a batch by inputs, labels = batch"
_LESS_MEMORY = "a device has less memory than this machine: load less at once, or use smaller numbers (uint8, float16)"


class Context(NamedTuple):
    """What was going on: the folder that load_data was given, if it was; and the fields of the structs that functions
    are given, by their class."""

    directory: Path | None
    fields: Mapping[str, tuple[str, ...]]


def remedy_of(error: BaseException, context: Context) -> str:
    """What to do; "" if that is not known."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        for kind, remedy in _BY_KIND:
            if isinstance(current, kind) and (found := remedy(current, context)):
                return found
        for pattern, text in _BY_TEXT:
            if pattern.search(str(current)):
                return text
        current = current.__cause__ or current.__context__
    return ""


def listing(directory: Path) -> str:
    """What is in a folder, in a few words."""
    try:
        names = sorted(path.name + "/" * path.is_dir() for path in directory.iterdir())
    except OSError as error:
        return f"{directory} can't be read: {error.strerror}"
    if not names:
        return f"{directory} is empty"
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return f"{directory} has {', '.join(names[:_SHOWN_NAMES])}{more}"


def _name(error: BaseException, _context: Context) -> str:
    assert isinstance(error, NameError)  # noqa: S101
    if isinstance(error, UnboundLocalError):
        return "give it a value before this line, in each branch"
    if error.name in _IMPORTS:
        return f"add the line: {_IMPORTS[error.name]}"
    return _suggested(error) or f"define {error.name} above, or import it"


def _suggested(error: BaseException) -> str:
    """A name that is there, and much like the one that is not."""
    name = getattr(error, "name", None)
    if isinstance(error, NameError):
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        known = [*frames[-1].f_locals, *frames[-1].f_globals, *dir(builtins)] if frames else []
    elif isinstance(error, AttributeError):
        known = dir(error.obj)
    elif isinstance(error, ImportError):
        wanted = _CANNOT_IMPORT.search(str(error))
        name, known = (wanted[1], dir(sys.modules.get(error.name or ""))) if wanted else (None, [])
    else:
        return ""
    near = difflib.get_close_matches(name or "", [each for each in known if each != name], n=1, cutoff=_NEAR)
    return f"did you mean {near[0]}?" if near else ""


def _module(error: BaseException, _context: Context) -> str:
    assert isinstance(error, ModuleNotFoundError)  # noqa: S101
    module = (error.name or "").split(".")[0]
    if module == "__main__" or not module:
        return ""
    return (
        f"check how it is written; a file of your own has to lie beside task.py; a package has to be installed here, "
        f"and in requirements.txt beside task.py for devices: {distribution_of(module)}==..."
    )


def _import(error: BaseException, _context: Context) -> str:
    if "partially initialized module" in str(error) or "circular import" in str(error):
        return (
            "two files import each other: move what both of them need into a third file, which imports neither of them"
        )
    return _suggested(error)


def _file(error: BaseException, context: Context) -> str:
    assert isinstance(error, OSError)  # noqa: S101
    if error.filename is None or isinstance(error.filename, int):
        return ""
    path = Path(error.filename.decode(errors="replace") if isinstance(error.filename, bytes) else error.filename)
    if context.directory is None:
        return "name files beside task.py by Path(__file__).parent: a device has no other folder of yours"
    if not path.is_absolute():
        return (
            f"a file's name alone is looked for in the current folder, which on a device is another one: write "
            f"directory / {path.name!r}; {listing(context.directory)}"
        )
    if not path.is_relative_to(context.directory):
        return (
            f"a device has no {path.parent}: its data is in the folder that load_data is given: write "
            f"directory / {path.name!r}; {listing(context.directory)}"
        )
    return f"{_near_file(path)}{listing(_existing(path, context.directory))}"


def _existing(path: Path, directory: Path) -> Path:
    """The nearest folder around a path that is there."""
    return next((parent for parent in path.parents if parent.is_dir()), directory)


def _near_file(path: Path) -> str:
    try:
        names = [other.name for other in path.parent.iterdir()]
    except OSError:
        return ""
    lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(path.name.lower(), list(lower), n=1, cutoff=_NEAR)
    return f"did you mean {lower[near[0]]}? " if near else ""


def _attribute(error: BaseException, context: Context) -> str:
    assert isinstance(error, AttributeError)  # noqa: S101
    fields = context.fields.get(type(error.obj).__name__)
    if fields is None:
        return _suggested(error) or (_BATCH if isinstance(error.obj, list | tuple | dict) else "")
    near = difflib.get_close_matches(error.name or "", fields, n=1, cutoff=_NEAR)
    short = next((field for field in fields if _is_short_for(error.name or "", field)), None)
    found = short or (near[0] if near else None)
    return (f"did you mean {found}? " if found else "") + f"{type(error.obj).__name__} has {', '.join(fields)}"


def _is_short_for(short: str, name: str) -> bool:
    return short == "".join(part[0] for part in name.split("_"))


def _exit(_error: BaseException, _context: Context) -> str:
    return (
        "nothing of a task may end the process, and no arguments are given to it: raise an exception that says what is "
        'wrong; what belongs to a script goes under if __name__ == "__main__":'
    )


def _input(_error: BaseException, _context: Context) -> str:
    return "nobody can answer on a device: sys.stdin is empty there; make it a constant of the file"


def _decoding(_error: BaseException, _context: Context) -> str:
    return (
        'the file is not text in UTF-8: name its encoding, such as open(path, encoding="latin-1"), or open it as "rb"'
    )


def _key(error: BaseException, _context: Context) -> str:
    return f"there is no {error.args[0]!r} in it: look at what it has, by print() for instance" if error.args else ""


def _memory(_error: BaseException, _context: Context) -> str:
    return _LESS_MEMORY


_BY_KIND: tuple[tuple[type[BaseException], Callable[[BaseException, Context], str]], ...] = (
    (ModuleNotFoundError, _module),
    (ImportError, _import),
    (NameError, _name),
    (UnicodeDecodeError, _decoding),
    (EOFError, _input),
    (SystemExit, _exit),
    (AttributeError, _attribute),
    (KeyError, _key),
    (MemoryError, _memory),
    (OSError, _file),
)

_CPU = "a device may have no GPU: leave the model and the data on the CPU; the default training moves them itself"

_BY_TEXT: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), text)
    for pattern, text in (
        (r"no nvidia driver|not compiled with cuda|no cuda gpus|invalid device ordinal|torch not linked with", _CPU),
        (r"expected all tensors to be on the same device|can't convert cuda|can't convert mps", _CPU),
        (
            r"does not require grad and does not have a grad_fn",
            (
                "the loss has no way back to the parameters: take away torch.no_grad(), .detach(), .data, .item() and "
                "requires_grad_(False) between them"
            ),
        ),
        (
            r"target -?\d+ is out of bounds|class values must be smaller",
            (
                "class numbers go from 0 to the number of the model's outputs less one: count from 0, or give the "
                "model as many outputs as there are classes"
            ),
        ),
        (
            r"index out of range in self",
            (
                "an Embedding got a number that it has no row for: give it as many rows (num_embeddings) as the "
                "largest number plus one"
            ),
        ),
        (
            r"expected more than 1 value per channel when training",
            (
                "batch normalization can't train on a batch of one: give training.batch_size 2 or more, or each client "
                "more examples"
            ),
        ),
        (
            r"expected scalar type long|not implemented for 'int'|expected.*dtype.*long|got int for",
            "class numbers are torch.long: convert them by .long()",
        ),
        (
            r"can't pickle|can't get local object|cannot pickle",
            "use num_workers=0, or functions of the file in place of lambdas and inner functions",
        ),
        (r"can't allocate memory|cannot allocate memory|out of memory|bad_alloc", _LESS_MEMORY),
        (
            r"'nonetype' object cannot be interpreted as an integer",
            (
                "of settings.epochs and settings.steps the one that federation.yaml does not give is None: ask for it "
                "before, or give it there"
            ),
        ),
        (r"'nonetype' object", "something before this line gave None: a function without a return, perhaps"),
        (r"missing \d+ required|takes \d+ positional|unexpected keyword", "compare the call with the definition"),
        (
            r"boolean value of tensor with more than one value",
            "compare tensors by torch.equal(), or take .all() or .any() of what a comparison gives",
        ),
        (
            r"can't call numpy\(\) on tensor that requires grad",
            "write .detach().numpy()",
        ),
        (r"stack expects each tensor to be equal size", "make all examples the same shape, by padding or cropping"),
        (
            r"could not convert string to float|can't convert np.ndarray of type numpy.object_|invalid literal for",
            "there is text among the numbers, perhaps a header or an empty cell: leave it out, or turn it into numbers",
        ),
        (
            r"default_collate: batch must contain",
            (
                "make tensors or numbers of what an example holds: of a picture by "
                "torchvision.transforms.functional.to_tensor(picture)"
            ),
        ),
        (r"must be tensor, not (list|tuple|dict)|got \((list|tuple|dict), parameter", _BATCH),
        (
            r"before module.__init__\(\) call",
            "call super().__init__() first in __init__ of the model's class",
        ),
        (
            r'missing the required "forward" function',
            "give the model's class a method def forward(self, x), spelt like this",
        ),
        (
            r"size mismatch between tensors",
            "give as many labels as inputs: print the shapes of both",
        ),
        (r"division by zero", "something that was counted is empty: look at how many examples there are"),
    )
)
