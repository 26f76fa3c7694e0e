"""A trial in the tests' own process: torch is imported there already."""

import io
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.newcomer_mistakes.mistake import Mistake, finding_of, write
from cli.checking.checks import check_by
from cli.checking.clients import clients_of
from cli.checking.trial_here import TrialHere
from trials.shapes.catalogue import TASKS


def is_told(mistake: Mistake, trial: TrialHere, folder: Path) -> bool:
    """Whether a check tells the mistake, with its line and as serious as it is, and finds no error beside it."""
    project, data = write(mistake, folder / "folder")
    checked = check_by(
        trial, project, lambda read, scratch: clients_of(read, data, scratch), lambda _: None, lambda _: None
    )
    return finding_of(mistake, checked.findings) is not None


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TrialHere]:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    path, modules, folder = list(sys.path), set(sys.modules), Path.cwd()
    trials = tmp_path / "trial"
    trials.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(trials))
    os.chdir(trials)
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_num_threads(1)
    with np.errstate():
        yield TrialHere(trials)
    torch.autograd.set_detect_anomaly(False)
    torch.use_deterministic_algorithms(False)
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)
    os.chdir(folder)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if name == "task" or file.startswith((str(tmp_path), str(TASKS))):
            del sys.modules[name]
