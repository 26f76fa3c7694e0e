"""`fedgrass split`: what it shows, and what it leaves in the folder."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from cli.datasets.showing import show
from cli.datasets.writing import Share, SplitRecord
from cli.screen import Screen
from tests.cli.running import fedgrass

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    lines = [f"u{number % 5},{number},{'yes' if number % 3 else 'no'}" for number in range(60)]
    path.write_text("\n".join(["user,x,label", *lines, ""]))
    return path


def test_it_says_who_has_what_and_where(csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = fedgrass("split", str(csv), str(out), "--split", "by:user")
    assert ran.status == 0, ran.error
    lines = ran.out.splitlines()
    assert lines[0].split() == ["client", "examples", "no", "yes"]
    assert [line.split()[:2] for line in lines[1:7]] == [*([f"u{n}", "10"] for n in range(5)), ["holdout", "10"]]
    assert f"5 clients in {out / 'clients'}" in lines
    assert f"10 examples that no client has in {out / 'holdout'}" in lines
    assert sorted(path.name for path in out.iterdir()) == ["clients", "holdout", "split.json", "split.svg"]


def test_programs_get_the_folders_and_the_record(csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = fedgrass("split", str(csv), str(out), "--names", "pi-a,pi-b", "--json")
    said = ran.result
    assert said["clients"] == {name: str(out / "clients" / name) for name in ("pi-a", "pi-b")}
    assert said["holdout"] == str(out / "holdout")
    assert said["record"] == json.loads((out / "split.json").read_text())


def test_the_picture_names_each_client_and_label_and_is_the_same_each_time(csv: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        fedgrass("split", str(csv), str(tmp_path / name), "--split", "by:user")
    drawn = (tmp_path / "one" / "split.svg").read_bytes()
    assert drawn == (tmp_path / "two" / "split.svg").read_bytes()
    texts = {element.text for element in ElementTree.fromstring(drawn).iter(f"{SVG}text")}  # noqa: S314 - our own
    assert {"u0", "u1", "u2", "u3", "u4", "no", "yes"} <= texts


def test_without_labels_there_is_a_bar_for_each_client(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("x\n" + "1\n" * 30)
    ran = fedgrass("split", str(tmp_path / "data.csv"), str(tmp_path / "out"), "--clients", "2")
    assert [line.count("█") for line in ran.out.splitlines()[1:4]] == [30, 30, 15]


def test_of_many_clients_and_labels_some_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = {f"label-{number}": number + 1 for number in range(30)}
    clients = {f"client-{number:04d}": Share(sum(labels.values()), labels) for number in range(1000)}
    record = SplitRecord(
        v=1, source="", kind="csv", files=1, sha256="", split="iid", seed=0, labels=list(labels), clients=clients
    )
    show(record, tmp_path, Screen())
    told = capsys.readouterr().out
    assert "and 960 more clients: split.json has them all" in told
    assert "others" in told.splitlines()[0]
    assert len(told.splitlines()) < 50
