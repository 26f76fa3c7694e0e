"""The file of an experiment, and its combinations: all that is wrong is told at once, with its line."""

import shutil
from pathlib import Path

import pytest

from cli.experiments.experiment_file import Experiment, ExperimentFileError, read
from cli.experiments.runs import ClientFolders, check_with_data, runs_of
from tests.cli.experiments.projects import write_project

BARE = "seeds: 2\ncases: {a: {}}\nmetrics: {loss: min}\n"
HEAD = "project: project\ndata: data\nseeds: 2\nmetrics: {accuracy: max}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    write_project(folder)
    return folder


def written(folder: Path, text: str) -> Path:
    path = folder / "experiment.yaml"
    path.write_text(text)
    return path


def experiment(folder: Path, text: str) -> Experiment:
    return read(written(folder, f"project: project\ndata: data\nseeds: [0]\nmetrics: {{accuracy: max}}\n{text}"))


def names_of(folder: Path, text: str) -> list[str]:
    return [combination.name for combination in experiment(folder, text).combinations]


def refusal(folder: Path, text: str) -> list[str]:
    """What is said of it, without the folder."""
    path = written(folder, text)
    with pytest.raises(ExperimentFileError) as caught:
        found = read(path)
        runs = runs_of(found)
        check_with_data(found, runs, ClientFolders(folder / "scratch"))
    return str(caught.value).replace(f"{folder}/", "").split("\n")


def test_a_matrix_is_a_product_and_cases_come_after_it(folder: Path) -> None:
    text = "matrix: {training.learning_rate: [1e-3, 1], averaging.rule: [mean, median]}\ncases: {plain: {}}"
    assert names_of(folder, text) == [
        "learning_rate=0.001,rule=mean",
        "learning_rate=0.001,rule=median",
        "learning_rate=1,rule=mean",
        "learning_rate=1,rule=median",
        "plain",
    ]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("matrix: {target: [50%, 3]}", ["target=50%", "target=3"]),
        ("matrix: {download: [model, bfloat16]}", ["download=model", "download=bfloat16"]),
        ("matrix: {averaging.carry_over: [true, false]}", ["carry_over=true", "carry_over=false"]),
        ("matrix: {split: ['labels:2', 'by:user name']}", ["split=labels-2", "split=by-user-name"]),
        ("matrix: {training.epochs: [null, 2]}", ["epochs=null", "epochs=2"]),
        (
            "matrix: {averaging.optimizer: [{name: fedavgm, momentum: 0.9}, {name: fedadam}]}",
            ["optimizer=fedavgm+momentum-0.9", "optimizer=fedadam"],
        ),
        (
            "matrix: {selection.policy: [all], pacing.policy: [at_once]}",
            ["selection.policy=all,pacing.policy=at_once"],
        ),
        ("matrix: {data: [../data/one.csv]}", ["data=..-data-one.csv"]),
    ],
)
def test_names_are_those_of_folders(folder: Path, text: str, names: list[str]) -> None:
    assert names_of(folder, text) == names


A_KEY = "use one as federation.yaml has it, such as training.steps"
A_NAME = "use up to 120 letters, digits and . _ = , + % -"


def test_all_faults_of_a_file_are_told_at_once(folder: Path) -> None:
    text = """project: project
round: 3
clients: 0
seeds: [0, 0]
matrix:
  training.seed: [1]
  split: []
  averaging.rule: [mean, mean]
  training..steps: [1]
cases:
  "my case": {training.learning_rate: 0.001}
  ok: 3
metrics:
  accuracy: most
  rounds until accuracy > 0.4: min
  seconds until accuracy >= e: min
"""
    assert refusal(folder, text) == [
        "experiment.yaml:2: round: there is no such field in an experiment; did you mean rounds?",
        "experiment.yaml:3: clients: 0: use a whole number from 1",
        "experiment.yaml:4: seeds: [0, 0]: a seed is there twice: keep one of them",
        "experiment.yaml:6: matrix.training.seed: each run has its seed from seeds: leave this out",
        "experiment.yaml:7: matrix.split: []: use a list of values, such as [1, 2]",
        'experiment.yaml:8: matrix.averaging.rule.1: "mean" is in the list twice: keep one of them',
        f"experiment.yaml:9: matrix.training..steps: this is no key: {A_KEY}",
        f"experiment.yaml:11: cases.my case: a case's name is a folder's: {A_NAME}",
        "experiment.yaml:12: cases.ok: 3: use keys with values; {} changes nothing",
        'experiment.yaml:14: metrics.accuracy: "most": use max if more is better, or min',
        *(
            f"experiment.yaml:{line}: metrics.{metric}: this is no metric: use a form of accuracy, best accuracy, "
            "rounds until accuracy >= 0.9, or seconds until accuracy >= 0.9"
            for line, metric in ((15, "rounds until accuracy > 0.4"), (16, "seconds until accuracy >= e"))
        ),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seeds: 0\n", "seeds: 0: use a list of whole numbers"),
        ("seeds: [0, -1]\n", "seeds: [0, -1]: use a list"),
        ("seeds: [true]\n", "seeds: [True]: use a list"),
        ("seeds: true\n", "seeds: true: use a list"),
        ("seeds: 3.5\n", "seeds: 3.5: use a list"),
        ("", "seeds: is missing: use a list"),
        ("seeds: 2\nmatrix: [1]\n", "matrix: [1]: use keys of federation.yaml with lists"),
        ("seeds: 2\ncases: [1]\n", "cases: [1]: use names with settings"),
        ("seeds: 2\nmetrics: accuracy\n", 'metrics: "accuracy": use metrics with max or min'),
        ("seeds: 2\nmetrics: {}\n", "metrics: {}: use metrics with max or min"),
        ("seeds: 2\nrounds: 0\n", "rounds: 0: use a whole number from 1"),
        ("seeds: 2\n", "there is nothing to compare: give matrix or cases"),
        (
            "training: {steps: 3}\n",
            "training: there is no such field in an experiment; it has backend, cases,",
        ),
        ("cases: {a: {}\n", "is not closed by a }"),
        ("- 1\n", "[1]: an experiment is fields with values"),
        (f"{BARE}project: project/none\n", "experiment.yaml:4: project: project/none: there is no such file"),
        (f"{BARE}project: .\n", "experiment.yaml:4: project: federation.yaml: there is no such file"),
        (BARE, "experiment.yaml: project: federation.yaml: there is no such file"),
        (f"{HEAD}out: devices.jsonl\ncases: {{a: {{}}}}\n", "experiment.yaml:5: out: devices.jsonl is a file: name"),
        (f"{HEAD}out: ./project\ncases: {{a: {{}}}}\n", "5: out: project is the project: name a folder"),
        (f"{HEAD}out: ''\n", "experiment.yaml:5: out: "),
        ("matrix: {backend: [loop, vectorized]}\n", "matrix.backend: backend is the same for all that is compared"),
        ("cases: {no: {}}\n", "no is no name of a field: as a name it is 'no'"),
        (f"{HEAD}clients: 9\ncases: {{a: {{}}}}\n", "experiment.yaml:2: data: 9 clients are more than the 4 clients"),
        (f"{HEAD}cases: {{a: {{split: iid}}}}\n", "experiment.yaml:5: cases.a.split: "),
        ("cases: {'..': {}}\n", "cases...: a case's name is a folder's"),
        (
            "matrix: {split: ['by:a', by-a]}\nmetrics: {loss: min}\nseeds: 1\n",
            "matrix.split: two combinations would be called split=by-a: give them names in cases",
        ),
        (f"matrix: {{split: [{'x' * 200}]}}\n", "is too long for a folder's name"),
        (f"matrix: {{a: [1, 2, 3, 4, 5, 6, 7, 8, 9, 0], b: {list(range(1001))}}}\n", "makes 10,010 combinations"),
    ],
)
def test_what_no_file_can_say(folder: Path, text: str, said: str) -> None:
    assert any(said in line for line in refusal(folder, text))


def test_no_file_is_there(tmp_path: Path) -> None:
    with pytest.raises(ExperimentFileError, match=r"none.yaml can't be read: No such file"):
        read(tmp_path / "none.yaml")


def test_all_faults_of_all_combinations_are_told_at_once_each_on_its_line(folder: Path) -> None:
    text = """project: project
data: nowhere
devices: nothing.jsonl
seeds: 2
metrics: {accuracy: max}
matrix:
  training.learning_rate: [0.1, fast]
  averaging.rule:
    - weighted
    - medain
  clients: [4, many]
cases:
  typo: {training.proximall: 0.001}
  alone: {selection.policy: all, selection.cohort: 3}
"""
    lines = refusal(folder, text)
    told = {line.split(": ")[0].removeprefix("experiment.yaml:") for line in lines}
    assert told == {"2", "3", "7", "10", "11", "13", "14"}
    assert len(lines) == len(told)


def test_a_fault_in_federation_yaml_names_the_combinations_that_have_it(folder: Path) -> None:
    (line,) = refusal(folder, HEAD + "matrix: {averaging.rule: [weighted, krum], training.steps: [1, 2]}\n")
    assert line.startswith("project/federation.yaml:4: quorum: 3 is fewer than the 5 updates that")
    assert line.endswith(" (in rule=krum,steps=1; rule=krum,steps=2)")


def test_what_the_clients_that_there_are_can_t_do_is_told_before_the_first_run(folder: Path) -> None:
    (folder / "own.jsonl").write_text('{"client": "nobody"}\n')
    shutil.copytree(folder / "data" / "clients", folder / "alone", dirs_exist_ok=True)
    lines = refusal(
        folder,
        HEAD + "matrix: {selection.minimum: [2, 9]}\ncases:\n  other: {devices: own.jsonl}\n  bare: {data: alone}\n",
    )
    assert lines[0].startswith("experiment.yaml:5: selection.minimum: 9 is more than the 4 clients")
    assert any(line.startswith('own.jsonl:1: there is no client "nobody"') for line in lines)
    assert any("experiment.yaml:4: metrics.accuracy: the data keeps nothing held out" in line for line in lines)


def test_functions_that_the_policies_lack_are_told_with_the_others(folder: Path) -> None:
    (folder / "project" / "policies.py").write_text("def choose_clients(clients, state):\n    return []\n")
    lines = refusal(folder, HEAD + "cases: {slow: {clients: 9}, other: {pacing.policy: custom}}\n")
    (folder / "project" / "policies.py").unlink()
    assert [line.split(": ")[1] for line in lines[:1]] == ["cases.slow.clients"]
    assert "has no function next_round_delay" in lines[1]
    assert lines[1].endswith(" (in other)")


def test_seconds_need_devices(folder: Path) -> None:
    text = "project: project\ndata: data\nseeds: 2\nmetrics: {seconds until loss <= 1: min}\ncases: {a: {}}\n"
    (line,) = refusal(folder, text)
    assert "seconds are those of devices, and none are given" in line


def test_runs_of_a_seed_come_before_those_of_the_next_and_equal_data_together(folder: Path) -> None:
    text = "matrix: {training.steps: [1, 2], clients: [2, 3]}"
    found = experiment(folder, text)
    runs = runs_of(read(written(folder, f"{HEAD}{text}")))
    assert [(run.options.seed, run.options.clients, run.project.settings.training.steps) for run in runs] == [
        (seed, clients, steps) for seed in (0, 1) for clients in (2, 3) for steps in (1, 2)
    ]
    assert all(run.project.settings.training.seed == run.options.seed for run in runs)
    assert runs[0].out == found.out / "runs" / "steps=1,clients=2" / "seed-0"
    assert found.out == folder / "results" / "experiment"


def test_splits_that_the_data_can_t_have_are_told_with_their_combinations(folder: Path) -> None:
    source = folder / "source"
    source.mkdir(exist_ok=True)
    (source / "people.csv").write_text("label,size\n" + "a,1\nb,2\n" * 30)
    text = "project: project\ndata: source/people.csv\nseeds: 1\nmetrics: {accuracy: max}\nclients: 2\n"
    lines = refusal(folder, text + "matrix: {split: [iid, 'labels:9', 'by:nobody', sideways]}\n")
    assert [line.split(": ")[1] for line in lines] == [f"matrix.split.{number}" for number in (1, 2, 3)]


def test_data_of_the_command_take_the_place_of_the_file_s_but_not_of_a_combination_s(folder: Path) -> None:
    path = written(
        folder,
        "project: project\ndata: none\nseeds: [0]\nmetrics: {accuracy: max}\n"
        "cases: {plain: {}, of_its_own: {data: data}}",
    )
    runs = runs_of(read(path, folder / "data" / ".." / "data"))
    assert [run.options.data for run in runs if run.options.data] == [folder / "data" / ".." / "data", folder / "data"]
