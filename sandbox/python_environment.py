"""A Python environment that has this one's packages, or some of them, and nothing of the checkout.

What runs in the sandbox as it runs elsewhere (the functions, the component) must find its own code in its own zip. This
Python may have fedgrass itself installed in editable form, which would hide a file that the zip lacks.
"""

import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

OF_LAMBDA = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")
"""What a function finds beside its own code and its layers, as far as fedgrass pins it."""


def create(directory: Path, only: Iterable[str] | None = None) -> Path:
    """Write such an environment (a few kB of links) to `directory`; the path of its Python. It has `only` these
    packages, or all."""
    library = directory / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    library.mkdir(parents=True)
    if only is None:
        # Folders named in a .pth file are searched, but their own .pth files, such as an editable install's, are not.
        packages = [entry for entry in sys.path if Path(entry).name in {"site-packages", "dist-packages"}]
        (library / "packages.pth").write_text("".join(f"{entry}\n" for entry in packages))
    else:
        for name in only:
            found = _place_of(name)
            (library / found.name).symlink_to(found)
    base = Path(getattr(sys, "_base_executable", sys.executable))
    (directory / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")
    (directory / "bin").mkdir()
    python = directory / "bin" / "python"
    python.symlink_to(base)
    return python


def _place_of(package: str) -> Path:
    """Its folder, or its file."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"this Python has no {package}", name=package)
    return Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)
