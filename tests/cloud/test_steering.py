"""One hostile client of a round: the honest members' model has the bits that it has without it."""

from typing import Any

import numpy as np
import pytest

from protocol.messages import MAX_INTEGER
from protocol.tensors import Array
from tests.cloud.examples import update_of
from tests.cloud.simulated import INITIAL, SimulatedFederation

HONEST = ("d1", "d2", "d3", "d4")
LIES: dict[str, Any] = {"examples": MAX_INTEGER, "steps": MAX_INTEGER}


def hostile() -> dict[str, Array]:
    return {"w": np.full((2, 3), -1e15, "<f4"), "s": np.array(1e15, "<f4"), "n": np.array(2**61, "<i8")}


@pytest.mark.parametrize("rule", ["median", "trimmed_mean", "krum", "multi_krum"])
def test_robust_rules_give_the_model_that_honest_clients_agree_on(simulated: SimulatedFederation, rule: str) -> None:
    averaging = {"rule": rule, "normalize_steps": True, "clip_norm": 1e6}
    simulated.create(("d0", *HONEST), averaging=averaging, rounds=1)
    simulated.start()
    for thing in HONEST:
        simulated.answer(thing, 1, after={"loss": 0.5})
    base = simulated.assignment("d0", 1).model.sha256
    simulated.put("d0", 1, update_of(hostile(), simulated.report("d0", 1, base=base, after={"loss": 1e9}, **LIES)))
    closed = simulated.ended(1)
    assert (closed.status, closed.accepted) == ("closed", 5)
    model = simulated.current()[1]
    assert np.array_equal(model["w"], INITIAL["w"] + 1)
    assert model["n"] == 11
    assert closed.metrics == {"loss_after": 0.5}
    (warning,) = closed.warnings
    assert warning.startswith("norms of 1 updates are far from the median")
    assert "d0" in warning


@pytest.mark.parametrize("rule", ["mean", "weighted"])
def test_in_a_mean_claims_scale_no_one_else_and_nothing_passes_the_clip(
    simulated: SimulatedFederation, rule: str
) -> None:
    averaging = {"rule": rule, "normalize_steps": True, "clip_norm": 3.0}
    simulated.create(("d0", *HONEST), averaging=averaging, rounds=1)
    simulated.start()
    for thing in HONEST:
        simulated.answer(thing, 1)
    base = simulated.assignment("d0", 1).model.sha256
    simulated.put("d0", 1, update_of(hostile(), simulated.report("d0", 1, base=base, **LIES)))
    closed = simulated.ended(1)
    assert (closed.status, closed.accepted) == ("closed", 5)
    model = simulated.current()[1]
    assert float(np.linalg.norm(model["w"] - INITIAL["w"])) <= 3.0
    assert 10 <= model["n"] <= 20


def test_a_round_that_ends_below_what_its_rule_needs_says_so_and_leaves_the_model(
    simulated: SimulatedFederation,
) -> None:
    simulated.create(("d0", *HONEST), averaging={"rule": "krum"}, rounds=1)
    before = simulated.current()[0]
    simulated.start()
    for thing in HONEST:
        simulated.answer(thing, 1)
    simulated.accepted_count(1, 4)
    simulated.report_progress("d0", 1, "failed", "no data")
    aborted = simulated.ended(1)
    assert aborted.reason == "all clients have answered, with 4 updates; averaging.rule krum needs 5"
    assert simulated.current()[0] == before
