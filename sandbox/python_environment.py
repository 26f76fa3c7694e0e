"""A Python environment that has this one's packages, and nothing of the checkout.

What runs in the sandbox as it runs elsewhere (the functions, the component) must find its own code in its own zip. This
Python may have fedgrass itself installed in editable form, which would hide a file that the zip lacks.
"""

import sys
from pathlib import Path


def create(directory: Path) -> Path:
    """Write such an environment (a few kB of links) to `directory`; the path of its Python."""
    library = directory / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    library.mkdir(parents=True)
    # Folders named in a .pth file are searched, but their own .pth files, such as an editable install's, are not read.
    packages = [entry for entry in sys.path if Path(entry).name in {"site-packages", "dist-packages"}]
    (library / "packages.pth").write_text("".join(f"{entry}\n" for entry in packages))
    base = Path(getattr(sys, "_base_executable", sys.executable))
    (directory / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")
    (directory / "bin").mkdir()
    python = directory / "bin" / "python"
    python.symlink_to(base)
    return python
