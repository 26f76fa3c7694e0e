"""The benchmark of simulations runs, and its contenders do the work."""

from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks import simulate
from benchmarks.simulators.cases import DATA, Case, Digits, client_folders, steps_of, write_case
from cli import digits


def test_it_gives_figures_of_contenders_that_have_all_learned() -> None:
    cases = (Case("full_epoch", clients=2, examples=200),)
    few = Case("thousand", clients=10, examples=40, steps=1)
    names = ("bare", "loop", "vectorized")
    results = simulate.run(cases, few, names, None, 1, Console(stderr=True))
    assert results.start_s > 0
    assert results.cases.keys() == {"full_epoch"}
    for found in results.cases.values():
        assert min(found.bare_rounds_per_s, found.loop_rounds_per_s, found.vectorized_rounds_per_s) > 0
        assert found.flower_rounds_per_s is None
    assert results.thousand.loop_peak_mb > 100


def test_clients_get_only_their_labels_of_real_digits(tmp_path: Path) -> None:
    case = Case("label_skew", clients=3, examples=50, steps=3, labels=2)
    train = digits.packaged().train
    write_case(case, tmp_path / "case", Digits(train.images, train.labels))
    folders = client_folders(tmp_path / "case")
    assert [path.name for path in folders] == ["client-0000", "client-0001", "client-0002"]
    assert [len(np.unique(np.load(folder / "labels.npy"))) for folder in folders] == [2, 2, 2]
    assert len(np.unique(np.load(tmp_path / "case" / DATA / "holdout" / "labels.npy"))) == 10
    assert steps_of(tmp_path / "case") == 3
