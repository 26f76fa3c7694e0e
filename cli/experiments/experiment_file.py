"""The file of an experiment, read and checked as federation.yaml is: all of its faults are told at once, each with its
line (docs/experiments.md)."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from cli.experiments.combinations import Combination, combinations_of
from cli.experiments.metrics import Metric, metrics_of
from cli.settings.fields import checked, near
from cli.settings.problems import Problem, shown
from cli.settings.yaml_file import InvalidYamlError, YamlFile
from components.text import printable

Count = Annotated[int, msgspec.Meta(ge=1)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
MAX_SEED = 2**31 - 1
MAX_SEEDS = 1_000


class ExperimentFileError(Exception):
    """The file of an experiment is not there, or something is wrong in it; the text says on which line."""


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """What may differ between combinations, beside federation.yaml's fields."""

    data: str | None = None
    clients: Count | None = None
    split: str | None = None
    devices: str | None = None


INPUTS = Inputs.__struct_fields__


class _Fields(Inputs, frozen=True, kw_only=True):
    """All that the file may say. What is of no simple kind is checked by those who know it."""

    project: Text = "."
    rounds: Count | None = None
    evaluate_every: Count = 1
    backend: Literal["loop", "vectorized"] = "loop"
    out: Text | None = None
    seeds: Any = None
    matrix: Any = None
    cases: Any = None
    metrics: Any = None


_COMMON = {*_Fields.__struct_fields__} - {*INPUTS, "rounds"}


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says."""

    file: Path
    fields: _Fields
    seeds: tuple[int, ...]
    combinations: tuple[Combination, ...]
    metrics: tuple[Metric, ...]
    yaml: YamlFile

    @property
    def project(self) -> Path:
        """The federation's folder."""
        return self.file.parent / self.fields.project

    @property
    def out(self) -> Path:
        """Where the results go."""
        return self.file.parent / (self.fields.out or f"results/{self.file.stem}")

    def inputs_of(self, combination: Combination, found: list[Problem]) -> Inputs:
        """What clients, data and devices a combination has."""
        inputs = Inputs(**{name: getattr(self.fields, name) for name in INPUTS})
        for setting in combination.settings:
            if setting.key in INPUTS:
                wrong: list[Problem] = []
                usable = checked({setting.key: setting.value}, wrong, Inputs)
                found.extend(Problem(setting.place, problem.text) for problem in wrong)
                inputs = msgspec.structs.replace(inputs, **usable)
        return inputs

    def path(self, text: str | None) -> Path | None:
        """A path that the file names."""
        return None if text is None else self.file.parent / text

    def located(self, problem: Problem) -> str:
        """A fault, with its file and line."""
        return _located(self.file, self.yaml, problem)


def read(path: Path, data: Path | None = None) -> Experiment:
    """The experiment of a file; `data` takes the place of its own.

    Raises:
        ExperimentFileError: see there.
    """
    try:
        yaml = YamlFile(path)
    except OSError as error:
        raise ExperimentFileError(f"{path} can't be read: {error.strerror}; name the file of an experiment") from error
    except InvalidYamlError as error:
        where = f"{path}:{error.line}" if error.line else str(path)
        raise ExperimentFileError(printable(f"{where}: {error}")) from error
    found: list[Problem] = []
    fields = _Fields(**_checked(yaml.value, found))
    if data is not None:
        fields = msgspec.structs.replace(fields, data=str(data.absolute()))
    experiment = Experiment(
        file=path,
        fields=fields,
        seeds=_seeds(fields.seeds, found),
        combinations=tuple(combinations_of(fields.matrix, fields.cases, _COMMON, found)),
        metrics=metrics_of(fields.metrics, found),
        yaml=yaml,
    )
    if found:
        raise refused(_located(path, yaml, problem) for problem in found)
    return experiment


def refused(lines: Iterable[str]) -> ExperimentFileError:
    """The error that tells all of these."""
    return ExperimentFileError("\n".join(dict.fromkeys(lines)))


def _checked(raw: Any, found: list[Problem]) -> dict[str, Any]:
    if not isinstance(raw, dict):
        found.append(
            Problem((), f"{shown(raw)}: an experiment is fields with values: project, seeds, matrix, metrics, ...")
        )
        return {}
    names = _Fields.__struct_fields__
    found.extend(Problem((name,), _unknown(name)) for name in raw if name not in names)
    return checked({name: value for name, value in raw.items() if name in names}, found, _Fields)


def _unknown(name: str) -> str:
    known = sorted(_Fields.__struct_fields__)
    hint = near(name, known) or f"; it has {', '.join(known)}; fields of federation.yaml go into matrix or cases"
    return f"there is no such field in an experiment{hint}"


def _seeds(raw: Any, found: list[Problem]) -> tuple[int, ...]:
    """A list of seeds, or how many there are, from 0."""
    seeds = list(range(raw)) if type(raw) is int and 0 < raw <= MAX_SEEDS else raw
    is_list = isinstance(seeds, list) and 0 < len(seeds) <= MAX_SEEDS
    if is_list and all(type(seed) is int and 0 <= seed <= MAX_SEED for seed in seeds):
        if len(set(seeds)) == len(seeds):
            return tuple(seeds)
        found.append(Problem(("seeds",), f"{shown(raw)}: a seed is there twice: keep one of them"))
        return ()
    told = "is missing" if raw is None else shown(raw)
    found.append(
        Problem(("seeds",), f"{told}: use a list of whole numbers from 0, such as [0, 1, 2], or how many, such as 3")
    )
    return ()


def _located(path: Path, yaml: YamlFile, problem: Problem) -> str:
    line = yaml.line_of(problem.path)
    return printable(f"{path}: {problem}" if line is None else f"{path}:{line}: {problem}")
