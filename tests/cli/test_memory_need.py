"""cli/memory_need.py: more devices than this machine has memory for are told before the start, with a remedy."""

from pathlib import Path

import pytest

from cli.memory_need import Memory, NotEnoughMemoryError, memory, warning


def test_what_fits_is_no_matter() -> None:
    assert warning(8, Memory(total_mb=32_000, free_mb=16_000)) is None


def test_too_many_devices_are_told_with_how_many_fit_and_with_what_needs_less() -> None:
    told = warning(40, Memory(total_mb=16_000, free_mb=8_000))
    assert told is not None
    assert told.startswith("40 devices take about 14.0 GB of memory, and this machine has 7.8 GB free")
    assert "--devices 20 fits" in told
    assert "fedgrass simulate" in told
    assert warning(20, Memory(total_mb=16_000, free_mb=8_000)) is None


def test_where_not_even_one_fits_none_is_proposed() -> None:
    told = warning(1, Memory(total_mb=16_000, free_mb=1_000))
    assert told is not None
    assert "--devices" not in told


def test_more_than_the_machine_has_at_all_is_refused() -> None:
    with pytest.raises(NotEnoughMemoryError, match=r"500 devices take about 157\.7 GB"):
        warning(500, Memory(total_mb=16_000, free_mb=8_000))


def test_a_containers_limit_counts(tmp_path: Path) -> None:
    unlimited = memory(tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1\n")
    assert memory(tmp_path).total_mb == unlimited.total_mb
    (tmp_path / "memory.max").write_text(f"{300 << 20}\n")
    (tmp_path / "memory.current").write_text(f"{100 << 20}\n")
    assert memory(tmp_path) == Memory(total_mb=300, free_mb=200)


def test_so_does_that_of_version_1(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text(str(9 << 20))
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text(str(4 << 20))
    assert memory(tmp_path) == Memory(total_mb=9, free_mb=5)
