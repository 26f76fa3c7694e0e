"""cloud/averager/work/sharding.py: by how many invocations a round is averaged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.averager.work.sharding import INVOCATION_S, MEMORY_MB, Sharding, TooMuchWorkError, sharding_of
from cloud.settings import Averaging

MLP, RESNET18, VGG16 = 437_544, 46_796_608, 553_430_000


def parts_of(model_bytes: int) -> int:
    return max(1, model_bytes // (5 << 20))


def planned(model_bytes: int, clients: int, **settings: object) -> Sharding:
    return sharding_of(Averaging(**settings), parts_of(model_bytes), model_bytes, clients)  # type: ignore[arg-type]


def test_a_small_round_takes_one_invocation() -> None:
    for clients in (1, 40, 160):
        found = planned(MLP, clients)
        assert (found.alone, found.work, found.stages) == (True, None, ("parts",))


def test_a_large_one_is_split_as_far_as_its_model_has_parts() -> None:
    found = planned(RESNET18, 40)
    assert 4 <= found.shards <= parts_of(RESNET18)
    assert found.groups == 1
    assert planned(VGG16, 40).shards > found.shards
    assert planned(RESNET18, 40, shards=3).shards == 3
    assert planned(RESNET18, 40, shards=1).alone
    assert planned(RESNET18, 40, shards=100).shards == parts_of(RESNET18)


def test_a_huge_cohort_is_split_into_groups_as_well() -> None:
    found = planned(RESNET18, 3_000)
    assert found.groups > 1
    assert found.stages == ("sums", "parts")
    assert found.job_s <= INVOCATION_S / 2


def test_krum_compares_before_it_averages() -> None:
    assert planned(RESNET18, 40, rule="krum").stages == ("distances", "parts")
    assert planned(MLP, 10, rule="multi_krum").alone


def test_a_rule_that_sees_whole_updates_is_never_split() -> None:
    assert planned(RESNET18, 40, rule="custom").alone


def test_what_no_invocation_could_do_is_refused_with_a_remedy() -> None:
    with pytest.raises(TooMuchWorkError, match=r"300 updates.*rule custom.*smaller cohort"):
        planned(RESNET18, 300, rule="custom")
    with pytest.raises(TooMuchWorkError, match="rule median"):
        planned(MLP, 30_000, rule="median")


@given(st.integers(1, 10**10), st.integers(1, 5000), st.sampled_from(["weighted", "median", "krum"]))
def test_no_job_takes_longer_than_an_invocation_may(model_bytes: int, clients: int, rule: str) -> None:
    try:
        found = planned(model_bytes, clients, rule=rule)
    except TooMuchWorkError:
        return
    assert 1 <= found.shards <= parts_of(model_bytes)
    assert found.job_s <= INVOCATION_S
    assert found.read_bytes * found.shards * found.groups >= clients * model_bytes
    assert found.memory_mb <= MEMORY_MB
