"""cli/datasets/pictures.py: folders of pictures as cameras and people leave them."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli.datasets.dataset import DatasetError
from cli.datasets.dividing import Request
from cli.datasets.opening import open_source
from cli.datasets.splitting import parse_split
from cli.datasets.writing import Written, share_out

LABELS = ("cat", "dog", "ünïcode")


def draw(*paths: Path) -> None:
    """Pictures of noise, each another one."""
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three labels of 12 pictures, of two formats."""
    root = tmp_path / "pictures"
    draw(*(root / label / f"{number}.{'jpg' if number % 2 else 'PNG'}" for label in LABELS for number in range(12)))
    return root


def shared(folder: Path, out: Path, split: str = "iid", clients: int | None = 3) -> Written:
    return share_out(open_source(folder), Request(parse_split(split), clients), out)


def names(places: Iterable[Path]) -> list[str]:
    """label/name of all pictures there."""
    return sorted(
        path.relative_to(place).as_posix() for place in places for path in place.rglob("*.*") if path.is_file()
    )


def test_each_picture_is_somewhere_once_under_its_own_label(folder: Path, tmp_path: Path) -> None:
    written = shared(folder, tmp_path / "out")
    assert written.holdout is not None
    assert names([*written.clients.values(), written.holdout]) == names([folder])
    for place in written.clients.values():
        for path in place.rglob("*.*"):
            assert path.read_bytes() == (folder / path.relative_to(place)).read_bytes()


def test_pictures_take_no_room_twice(folder: Path, tmp_path: Path) -> None:
    written = shared(folder, tmp_path / "out")
    picture = next(written.clients["device-000"].rglob("*.*"))
    assert picture.samefile(folder / picture.relative_to(written.clients["device-000"]))


def test_all_clients_number_the_labels_alike_even_those_that_lack_some(folder: Path, tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder  # not for all to wait for that collect tests

    written = shared(folder, tmp_path / "out", "labels:1")
    for place in written.clients.values():
        assert ImageFolder(str(place), allow_empty=True).class_to_idx == {label: n for n, label in enumerate(LABELS)}
        assert len({name.split("/")[0] for name in names([place])}) == 1


def test_what_is_no_picture_is_left_out_and_named(folder: Path, tmp_path: Path) -> None:
    jpeg, png = (folder / "dog" / "1.jpg").read_bytes(), (folder / "dog" / "0.PNG").read_bytes()
    (folder / "dog" / "half.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (folder / "dog" / "half.png").write_bytes(png[:-30])
    (folder / "dog" / "flipped.png").write_bytes(png[:60] + bytes([png[60] ^ 255]) + png[61:])
    (folder / "dog" / "empty.png").touch()
    (folder / "dog" / "text.png").write_text("no picture")
    (folder / "dog" / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "dog" / ".thumbnail.png").write_text("no picture")
    (folder / "notes.txt").write_text("about")
    written = shared(folder, tmp_path / "out")
    damaged, left_out = sorted(written.record.notes)
    assert damaged.startswith("5 damaged pictures left out: dog/empty.png (empty), dog/flipped.png (")
    assert "gone.png: a link to nothing" in left_out
    assert "notes.txt" in left_out
    assert sum(share.examples for share in written.record.clients.values()) + 7 == 36


def test_pictures_of_several_folders_may_have_one_name_and_folders_can_be_clients(folder: Path, tmp_path: Path) -> None:
    for site in ("north", "south"):
        draw(*(folder / label / site / f"{number}.png" for label in LABELS for number in range(4)))
    written = shared(folder, tmp_path / "out", "by:folder", None)
    assert list(written.clients) == ["north", "south"]
    assert all(re.fullmatch(r".+/north/\d.png", name) for name in names([written.clients["north"]]))
    assert any("36 examples without a value in 'folder' left out" in note for note in written.record.notes)


def test_a_folder_for_tests_is_the_source_s_own_holdout(tmp_path: Path) -> None:
    parts = {"train": 6, "test": 3}
    draw(*(tmp_path / "in" / part / label / f"{n}.png" for part in parts for label in "ab" for n in range(parts[part])))
    (tmp_path / "in" / "test" / "b").rename(tmp_path / "in" / "test" / "c")
    written = shared(tmp_path / "in", tmp_path / "out", clients=2)
    assert written.holdout is not None
    assert names([written.holdout]) == names([tmp_path / "in" / "test"])
    assert {path.name for path in written.clients["device-000"].iterdir()} == {"a", "b", "c"}


def test_links_to_pictures_are_followed_and_a_folder_that_links_to_itself_ends(folder: Path, tmp_path: Path) -> None:
    (folder / "dog" / "again.png").symlink_to(folder / "cat" / "0.PNG")
    (folder / "dog" / "here").symlink_to(folder, target_is_directory=True)
    written = shared(folder, tmp_path / "out")
    assert written.holdout is not None
    assert "dog/again.png" in names([*written.clients.values(), written.holdout])


def refusal(folder: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        open_source(folder)
    return str(caught.value)


def test_a_picture_beside_the_labels_folders_is_named(folder: Path) -> None:
    draw(folder / "loose.png")
    told = refusal(folder)
    assert told.startswith(f"{folder} itself has 1 picture in it, such as loose.png: put each into a folder")


def test_a_single_picture_is_no_source(folder: Path) -> None:
    assert "name the folder that holds a folder for each label" in refusal(folder / "cat" / "0.PNG")


def test_pictures_of_which_most_are_damaged_are_refused(folder: Path) -> None:
    for path in folder.rglob("*.jpg"):
        path.write_text("no picture")
    (folder / "cat" / "0.PNG").write_text("no picture")
    assert "19 of 36 pictures" in refusal(folder)


def test_more_parts_than_two_are_named(tmp_path: Path) -> None:
    draw(*(tmp_path / part / "a" / "0.png" for part in ("train", "val", "test")))
    assert "has test, train, val: leave one folder to train and one for tests" in refusal(tmp_path)
