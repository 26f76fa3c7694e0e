"""Run folders: what is in their files, at whatever moment their writer ends."""

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import safetensors.torch
import torch

from reporting.clients_file import ClientsFile, read
from reporting.folder_access import RunFolderExistsError, RunFolderInUseError, RunFolderWriteError, check_usable
from reporting.records import MODEL, SCHEMAS, SUMMARY, TORCH_MODEL, ClientRow, Measured, Metrics
from reporting.run_folder import CorruptRunFolderError, NoRunFolderError, RunFolder
from reporting.run_writer import RunWriter
from tests.cloud.examples import federation
from tests.paths import ROOT
from tests.reporting.examples import SETTINGS, add, answered, create, ended, model_of, reference, resume, update


def numbers(path: Path) -> list[int]:
    return [line.round for line in RunFolder(path).rounds()]


def clients(path: Path) -> list[tuple[int, str]]:
    return [(row.round, row.client) for row in RunFolder(path).clients()]


def test_a_finished_folder_has_all_files_and_says_their_versions(tmp_path: Path) -> None:
    with create(tmp_path / "run") as writer:
        add(writer, 1, 2)
        writer.finish("finished")
    assert {path.name for path in (tmp_path / "run").iterdir()} == SCHEMAS.keys()
    assert RunFolder(tmp_path / "run").summary.schemas == SCHEMAS


def test_the_summary_tells_of_all_rounds(tmp_path: Path) -> None:
    with create(tmp_path) as writer:
        writer.set_model(model_of(0))
        add(writer, 1, 2)
        record = ended(3, status="aborted", model=None, metrics=None, reason="too few", vanished=("a", "b"), accepted=0)
        writer.add_round(record, answered(record), held_out={"loss": 0.5, "accuracy": None})
        writer.finish("finished")
    summary = RunFolder(tmp_path).summary
    assert (summary.source, summary.federation, summary.status) == ("simulate", "f", "finished")
    assert (summary.rounds, summary.rounds_asked, summary.totals.rounds) == (3, 20, 3)
    assert (summary.started_at, summary.ended_at) == (1011.0, 1043.0)
    assert (summary.totals.closed, summary.totals.aborted, summary.totals.vanished) == (2, 1, 2)
    assert summary.totals.round_s == 32.0
    assert summary.model is not None
    assert (summary.model.round, summary.model.sha256) == (2, reference(2).sha256)
    accuracy = summary.metrics.clients["accuracy_after"]
    assert accuracy.best == accuracy.last == Measured(round=2, value=0.75)
    assert summary.metrics.held_out["loss"].last == Measured(round=3, value=0.5)
    assert "accuracy" not in summary.metrics.held_out
    assert summary.versions.torch == torch.__version__.partition("+")[0]


def test_the_best_of_a_metric_goes_by_its_name(tmp_path: Path) -> None:
    values = {"loss": (2.0, 1.0, 3.0), "accuracy": (0.5, 0.9, 0.7), "rounds_of_bread": (1.0, 3.0, 2.0)}
    with create(tmp_path) as writer:
        for number in range(3):
            record = ended(number + 1)
            writer.add_round(record, answered(record), held_out={name: of[number] for name, of in values.items()})
        writer.finish("finished")
    found = RunFolder(tmp_path).summary.metrics.held_out
    assert found["loss"].best == Measured(round=2, value=1.0)
    assert found["accuracy"].best == Measured(round=2, value=0.9)
    assert found["rounds_of_bread"].best is None
    assert found["rounds_of_bread"].last == Measured(round=3, value=2.0)


def test_the_model_is_one_for_safetensors_and_for_torch(tmp_path: Path) -> None:
    with create(tmp_path) as writer:
        add(writer, 1, 7)
        writer.finish("finished")
    folder = RunFolder(tmp_path)
    assert (folder.path / MODEL).read_bytes() == model_of(7)
    theirs = safetensors.torch.load_file(folder.path / MODEL)
    ours = torch.load(folder.path / TORCH_MODEL, weights_only=True)
    assert ours.keys() == theirs.keys() == {"w", "half", "n"}
    assert all(torch.equal(ours[name], theirs[name]) and ours[name].dtype == theirs[name].dtype for name in theirs)
    assert (ours["w"][0, 0], ours["half"], ours["n"][0]) == (7, 1, 7)


def test_without_torch_the_summary_says_why_there_is_no_torch_model(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path; from tests.reporting.examples import add, create\n"
        "writer = create(Path(sys.argv[1])); add(writer, 1); writer.finish('finished')"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, cwd=ROOT)
    folder = RunFolder(tmp_path)
    assert not (folder.path / TORCH_MODEL).exists()
    assert "torch" in (folder.summary.torch_model_missing or "")
    assert (folder.path / MODEL).read_bytes() == model_of(1)


def test_a_round_that_is_there_already_is_not_written_again(tmp_path: Path) -> None:
    with create(tmp_path) as writer:
        add(writer, 1, 2, 1, 2)
        writer.finish("finished")
    assert numbers(tmp_path) == [1, 2]
    assert clients(tmp_path) == [(1, "a"), (1, "b"), (2, "a"), (2, "b")]


def test_a_round_that_goes_on_is_refused(tmp_path: Path) -> None:
    record = ended(1, status="averaging", closed_at=None)
    with create(tmp_path) as writer, pytest.raises(ValueError, match="round 1 of 'f' is averaging"):
        writer.add_round(record, answered(record))


# ---- Another one's folder


def test_a_folder_that_holds_a_run_is_not_written_over(tmp_path: Path) -> None:
    with create(tmp_path) as writer:
        add(writer, 1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(RunFolderExistsError, match=r"run of federation 'f', by simulate, with 1 of 20 rounds"):
        create(tmp_path)
    with pytest.raises(RunFolderExistsError, match="federation 'f'"):
        RunWriter.resume(tmp_path, source="simulate", settings=federation(name="g"))
    with pytest.raises(RunFolderExistsError, match="by simulate"):
        RunWriter.resume(tmp_path, source="aws", settings=SETTINGS)
    with pytest.raises(RunFolderExistsError, match="federation 'f'"):
        RunWriter.resume(tmp_path, source="simulate", settings=SETTINGS, life="0123abcd")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["federation.yaml", "task.py"])
def test_a_projects_folder_is_none_for_a_run_whose_files_would_go_to_devices(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(RunFolderExistsError, match=f"has {name}, so it is a project's: name a folder for the run"):
        create(tmp_path)
    with pytest.raises(RunFolderExistsError, match="is no folder: name one that is not there yet"):
        create(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("folder", ["/proc/run", "file/run", "n" * 300])
def test_of_a_folder_that_can_not_be_made_nothing_is_said_to_be_whole(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    for refuse in (check_usable, create):
        with pytest.raises(RunFolderWriteError, match=r"can't be written: .*; mend that, or name another folder$"):
            refuse(tmp_path / folder)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_looking_whether_a_run_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    check_usable(tmp_path / "runs" / "new")
    check_usable(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_file_of_the_users_is_not_written_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    (tmp_path / "notes.txt").write_text("mine too")
    with pytest.raises((RunFolderExistsError, CorruptRunFolderError), match=name):
        create(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: "mine", "notes.txt": "mine too"}


def test_other_files_in_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with create(tmp_path) as writer:
        add(writer, 1)
        writer.finish("finished")
    assert (tmp_path / "logs").is_dir()
    assert numbers(tmp_path) == [1]


def test_a_folder_has_one_writer_at_a_time(tmp_path: Path) -> None:
    with create(tmp_path) as writer:
        add(writer, 1)
        with pytest.raises(RunFolderInUseError, match=str(tmp_path)):
            resume(tmp_path)
        add(writer, 2)
    with resume(tmp_path) as writer:
        assert writer.last_round == 2


FORKED = """
import os, sys
from pathlib import Path
from tests.reporting.examples import add, create, resume
writer = create(Path(sys.argv[1]))
reading, writing = os.pipe()
if os.fork():
    writer.finish("finished")
    add(resume(Path(sys.argv[1])), 1)
    print("resumed")
    os.close(writing)
else:
    os.close(writing)
    os.read(reading, 1)
"""


def test_a_process_that_was_forked_meanwhile_does_not_hold_the_folder(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", FORKED, str(tmp_path)], check=True, cwd=ROOT, capture_output=True)
    assert b"resumed" in run.stdout


def test_a_folder_is_found_also_after_the_directory_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with create(Path("run")) as writer:
        monkeypatch.chdir(tmp_path / "elsewhere")
        add(writer, 1)
        writer.finish("finished")
    assert numbers(tmp_path / "run") == [1]
    assert not any((tmp_path / "elsewhere").iterdir())


def test_numbers_that_are_not_finite_keep_no_folder_from_being_read(tmp_path: Path) -> None:
    with create(tmp_path) as writer:
        record = ended(1, metrics={"accuracy_after": float("nan")})
        writer.add_round(record, answered(record), held_out={"loss": float("inf"), "accuracy": -float("inf")})
        writer.finish("finished")
    (line,) = RunFolder(tmp_path).rounds()
    assert line.held_out == {"loss": None, "accuracy": None}
    assert line.metrics == {"accuracy_after": None}
    assert RunFolder(tmp_path).summary.metrics == Metrics()


def test_what_is_no_run_folder_is_said_to_be_none(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(NoRunFolderError, match=str(path)):
            RunFolder(path)
        with pytest.raises(NoRunFolderError):
            resume(path)


# ---- Ends


def test_a_run_that_is_interrupted_or_fails_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), create(tmp_path / "interrupted") as writer:
        add(writer, 1)
        raise KeyboardInterrupt
    with pytest.raises(RuntimeError), create(tmp_path / "failed") as writer:
        add(writer, 1)
        raise RuntimeError("the lights went out")
    interrupted, failed = (RunFolder(tmp_path / name) for name in ("interrupted", "failed"))
    assert (interrupted.summary.status, failed.summary.status) == ("interrupted", "failed")
    assert failed.summary.reason == "the lights went out"
    assert (interrupted.path / TORCH_MODEL).exists()


KILLED = """
import sys
from pathlib import Path
from tests.reporting.examples import add, create
writer = create(Path(sys.argv[1]))
for number in range(1, 10_000):
    add(writer, number)
    print(number, flush=True)
"""


def test_no_round_is_lost_when_the_writer_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 30:
                break
        process.send_signal(signal.SIGKILL)
        done = [30, *map(int, process.stdout.read().split())]
    found = numbers(tmp_path)
    assert found == [*range(1, len(found) + 1)]
    assert len(found) >= done[-1]
    assert clients(tmp_path) == [(number, thing) for number in found for thing in "ab"]
    with resume(tmp_path) as writer:
        assert writer.last_round == len(found)
        add(writer, len(found) + 1)
        writer.finish("finished")
    folder = RunFolder(tmp_path)
    assert numbers(tmp_path) == [*found, len(found) + 1]
    assert (folder.summary.rounds, folder.summary.totals.closed) == (len(found) + 1, len(found) + 1)
    assert (folder.path / MODEL).read_bytes() == model_of(len(found) + 1)


@pytest.mark.parametrize("name", ["rounds.jsonl", "clients.csv"])
def test_whatever_half_a_write_leaves_is_dropped(tmp_path: Path, name: str) -> None:
    """At each byte of the last round's writes: its rows come first, then its line."""
    with create(tmp_path) as writer:
        add(writer, 1)
        sizes = {name: (tmp_path / name).stat().st_size for name in ("rounds.jsonl", "clients.csv")}
        add(writer, 2)
    whole = {name: (tmp_path / name).read_bytes() for name in sizes}
    for size in range(sizes[name], len(whole[name])):
        for other in sizes:  # no line without all of its rows
            torn = other == name or other == "rounds.jsonl"
            (tmp_path / other).write_bytes(whole[other][: (size if other == name else sizes[other]) if torn else None])
        assert numbers(tmp_path) == [1]
        assert clients(tmp_path) == [(1, "a"), (1, "b")]
        if size % 50 == 0:
            with resume(tmp_path) as writer:
                assert writer.last_round == 1
                add(writer, 2)
            assert {name: (tmp_path / name).read_bytes() for name in sizes} == whole


def test_a_writer_that_was_killed_while_it_made_the_folder_leaves_no_run(tmp_path: Path) -> None:
    with create(tmp_path):
        pass
    (tmp_path / SUMMARY).unlink()
    with create(tmp_path) as writer:
        add(writer, 1)
    assert numbers(tmp_path) == [1]


def test_a_run_goes_on_after_an_earlier_round(tmp_path: Path) -> None:
    with create(tmp_path) as writer:
        add(writer, 1, 2, 3, 4)
        writer.finish("interrupted")
    with resume(tmp_path, after=2) as writer:
        assert writer.last_round == 2
        assert clients(tmp_path) == [(1, "a"), (1, "b"), (2, "a"), (2, "b")]
        add(writer, 3)
        writer.finish("finished")
    assert numbers(tmp_path) == [1, 2, 3]
    assert RunFolder(tmp_path).summary.totals.closed == 3
    assert (tmp_path / MODEL).read_bytes() == model_of(3)


def test_a_resumed_folder_has_the_bytes_of_one_that_was_not_interrupted(tmp_path: Path) -> None:
    with create(tmp_path / "whole") as writer:
        add(writer, 1, 2, 3)
    with create(tmp_path / "cut") as writer:
        add(writer, 1)
    with resume(tmp_path / "cut") as writer:
        add(writer, 2, 3)
    for name in ("rounds.jsonl", "clients.csv", "config.yaml", "model.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


FULL = """
import resource, sys
from pathlib import Path
from reporting.folder_access import RunFolderWriteError
from tests.reporting.examples import add, create
path = Path(sys.argv[1])
writer = create(path)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # no file may be larger, as on a disk that is full
try:
    for number in range(1, 1000):
        add(writer, number)
except RunFolderWriteError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
add(writer, number)
writer.finish("finished")
print(number)
"""


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], check=True, cwd=ROOT, capture_output=True, text=True
    )
    told, number = run.stdout.splitlines()
    assert f"the run folder {tmp_path} can't be written: File too large" in told
    assert 5 < int(number) < 999
    assert numbers(tmp_path) == [*range(1, int(number) + 1)]
    assert clients(tmp_path) == [(one, thing) for one in numbers(tmp_path) for thing in "ab"]


def test_a_path_that_can_be_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderWriteError, match=r"Not a directory; mend that, or name another folder"):
        create(tmp_path / "file" / "below")


# ---- Readers of other versions


def test_fields_that_a_newer_version_added_are_ignored(tmp_path: Path) -> None:
    with create(tmp_path) as writer:
        add(writer, 1)
    for name in ("rounds.jsonl", SUMMARY):
        fields = json.loads((tmp_path / name).read_text()) | {"moon_phase": "full"}
        (tmp_path / name).write_text(json.dumps(fields) + "\n")
    lines = (tmp_path / "clients.csv").read_text().splitlines()
    wider = [f"{line},{'moon_phase' if line == lines[0] else 'full'}" for line in lines]
    (tmp_path / "clients.csv").write_text("\n".join(wider) + "\n")
    assert numbers(tmp_path) == [1]
    row, _ = RunFolder(tmp_path).clients()
    assert row.metrics == {"accuracy_after": 0.5}
    assert RunFolder(tmp_path).summary.rounds == 1


def test_what_is_no_round_or_row_is_named_with_its_line(tmp_path: Path) -> None:
    with create(tmp_path) as writer:
        add(writer, 1)
    with (tmp_path / "clients.csv").open("a") as file:
        file.write("one,two\n")
    with pytest.raises(CorruptRunFolderError, match=r"clients\.csv:4"):
        list(RunFolder(tmp_path).clients())
    with (tmp_path / "rounds.jsonl").open("a") as file:
        file.write('{"round": "many"}\n')
    with pytest.raises(CorruptRunFolderError, match=r"rounds\.jsonl:2"):
        list(RunFolder(tmp_path).rounds())
    (tmp_path / SUMMARY).write_text("[]")
    with pytest.raises(CorruptRunFolderError, match=SUMMARY):
        RunFolder(tmp_path)


# ---- Texts and numbers of devices


def test_texts_of_devices_stay_in_their_cells(tmp_path: Path) -> None:
    reasons = ["=1+1", "two\nlines", 'a "quoted", one', "\x1b[31mred", "'apostrophe", "-5", "naïve", "null"]
    record = ended(1, *(f"thing-{number}" for number in range(len(reasons))))
    refused = [
        update(record, member.thing, "refused", reason=reason, report=None)
        for member, reason in zip(record.cohort, reasons, strict=True)
    ]
    with create(tmp_path) as writer:
        writer.add_round(record, answered(record, *refused))
    shown = [
        reason.encode("unicode_escape").decode() if "\n" in reason or "\x1b" in reason else reason for reason in reasons
    ]
    assert [row.reason for row in RunFolder(tmp_path).clients()] == shown
    text = (tmp_path / "clients.csv").read_text()
    assert len(text.splitlines()) == len(reasons) + 1
    with (tmp_path / "clients.csv").open(newline="") as file:
        assert all(not row["reason"].startswith(("=", "+", "-", "@")) for row in csv.DictReader(file))


def test_metrics_that_clients_make_up_do_not_widen_the_table_without_end(tmp_path: Path) -> None:
    with create(tmp_path) as writer:
        for number in range(1, 6):
            record = ended(number, metrics={f"m{number}_{index}_after": 1.0 for index in range(30)} | {"=x_after": 1.0})
            writer.add_round(record, answered(record))
    with (tmp_path / "clients.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert {len(row) for row in rows} == {15 + 64}
    assert "=x_after" not in rows[0]
    assert len(clients(tmp_path)) == 10


def test_a_run_goes_on_in_a_table_of_another_version(tmp_path: Path) -> None:
    """Which has a column that this one does not know, and lacks one that it does."""
    with create(tmp_path) as writer:
        add(writer, 1)
    lines = (tmp_path / "clients.csv").read_text().splitlines()
    lines[0] = lines[0].replace("norm", "moon_phase")
    (tmp_path / "clients.csv").write_text("\n".join(lines) + "\n")
    with resume(tmp_path) as writer:
        add(writer, 2)
    with (tmp_path / "clients.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["moon_phase"], row["norm"], row["accuracy_after"]) for row in rows] == [
        *[("0.5", "", "0.5")] * 2,
        *[("", "0.5", "0.5")] * 2,
    ]
    assert [row.norm for row in RunFolder(tmp_path).clients()] == [None, None, 0.5, 0.5]


def test_rows_whose_round_was_not_written_give_way_also_in_a_wider_table(tmp_path: Path) -> None:
    path = tmp_path / "clients.csv"
    file = ClientsFile(path, 0)
    rows = [ClientRow(round=1, client="a", state="accepted", metrics={"loss_after": 1.0})]
    file.append(rows, ["loss_after"])
    file.append(rows, ["loss_after"])
    file.keep()
    file.append(rows, ["accuracy_after"])
    file.append([msgspec.structs.replace(rows[0], round=2)], ["accuracy_after"])
    file.close()
    assert [(row.round, row.metrics) for row in read(path, 2)] == [(1, {"loss_after": 1.0}), (2, {"loss_after": 1.0})]


def test_a_metric_that_comes_later_gets_a_column(tmp_path: Path) -> None:
    with create(tmp_path) as writer:
        add(writer, 1, metrics={})
        add(writer, 2)
        record = ended(3, metrics={"accuracy_after": 0.5, "loss_after": 1.0})
        writer.add_round(record, answered(record))
    rows = list(RunFolder(tmp_path).clients())
    assert [row.metrics for row in rows] == [{}, {}, *([{"accuracy_after": 0.5}] * 4)]
