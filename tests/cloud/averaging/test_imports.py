"""cloud/averaging knows no AWS, and none of the records that are kept there."""

import subprocess
import sys

from tests.paths import ROOT

_IMPORT_ALL = """
import importlib, pkgutil, sys
import cloud.averaging
for module in pkgutil.walk_packages(cloud.averaging.__path__, "cloud.averaging."):
    importlib.import_module(module.name)
print([name for name in sys.modules if name.startswith(("cloud.state", "cloud.averager.", "boto"))])
"""


def test_importing_all_of_averaging_imports_neither_state_nor_aws() -> None:
    done = subprocess.run([sys.executable, "-c", _IMPORT_ALL], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
