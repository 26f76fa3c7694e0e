"""simulation/simulation.py: rounds in simulated time."""

from pathlib import Path
from typing import Any

import pytest

from cloud.initiator.selection.cohort import NotEnoughClientsError
from protocol.tensors import load
from tests.simulation.federations import Federation, Watched, digests

SLOW = {"examples_per_s": 1.0}
FAST = {"examples_per_s": 100.0}
OFFLINE = {"availability": 0.0}


def states(ended: Any) -> dict[str, str]:
    """What became of each client that answered."""
    responses = ended.responses
    return {one.thing: one.state for one in (*responses.accepted, *responses.failed, *responses.refused)}


def test_the_same_settings_give_the_same_rounds(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"encoding": "int8", "selection": {"policy": "random", "cohort": 3}}
    first = Federation(tmp_path / "a", **settings).rounds()
    assert digests(Federation(tmp_path / "b", **settings).rounds()) == digests(first)
    other = Federation(tmp_path / "c", training={"epochs": 1, "batch_size": 8, "learning_rate": 0.1, "seed": 1})
    assert digests(other.rounds()) != digests(first)


def test_a_round_ends_at_its_target_and_who_is_slower_is_not_trained(tmp_path: Path) -> None:
    federation = Federation(tmp_path, devices={"c1": SLOW, "*": FAST}, target=4)
    watched = Watched(federation)
    rounds = federation.rounds(watched)
    assert [ended.record.status for ended in rounds] == ["closed"] * 3
    assert all(sorted(states(ended)) == ["c0", "c2", "c3", "c4"] for ended in rounds)
    assert watched.computed == {number: ["c0", "c2", "c3", "c4"] for number in (1, 2, 3)}
    assert rounds[0].record.averaging_at == pytest.approx(0.32), "c4 has 32 examples, of 100 a second"
    assert [ended.record.vanished for ended in rounds] == [()] * 3


def test_who_is_offline_is_missed_at_the_deadline_and_the_quorum_ends_the_round(tmp_path: Path) -> None:
    federation = Federation(tmp_path, devices={"c0": OFFLINE, "c1": OFFLINE}, quorum=3)
    simulation = federation.simulation()
    rounds = list(simulation.run())
    assert [(ended.record.status, ended.record.accepted) for ended in rounds] == [("closed", 3)] * 3
    assert [ended.record.closed_at for ended in rounds] == [100.0, 200.0, 300.0]
    assert rounds[0].record.vanished == ("c0", "c1")
    assert {client.thing: client.missed for client in simulation.standing.clients} == {
        "c0": 3, "c1": 3, "c2": 0, "c3": 0, "c4": 0,
    }  # fmt: skip


def test_a_round_below_its_quorum_is_extended_once_and_then_aborted(tmp_path: Path) -> None:
    devices = dict.fromkeys(("c0", "c1", "c2"), OFFLINE)
    ended, *_ = Federation(tmp_path, devices=devices, quorum=3).rounds()
    assert (ended.record.status, ended.record.extended, ended.record.closed_at) == ("aborted", True, 150.0)
    assert "the extended deadline was reached with 2 updates" in (ended.record.reason or "")
    assert ended.federation.model == ended.record.base


def test_updates_of_a_round_below_its_quorum_count_in_the_next_one(tmp_path: Path) -> None:
    devices = {"c0": OFFLINE, "c1": OFFLINE, "c4": {"examples_per_s": 32 / 140}}
    federation = Federation(tmp_path, devices=devices, quorum=4, averaging={"carry_over": True}, target=4, rounds=2)
    first, second = federation.rounds()
    assert (first.record.status, first.record.carry) == ("aborted", True)
    assert [(one.thing, one.age) for one in second.record.carried] == [("c2", 1), ("c3", 1), ("c4", 1)]
    assert second.record.status == "aborted"


def test_in_an_asynchronous_federation_a_slow_client_counts_rounds_later(tmp_path: Path) -> None:
    devices = {"c0": {"examples_per_s": 20 / 2.5}, "*": {"examples_per_s": 29.0}}
    federation = Federation(tmp_path, clients=4, devices=devices, rounds=6, target=3, max_staleness=3)
    rounds = federation.rounds()
    assert [ended.record.status for ended in rounds] == ["closed"] * 6
    ages = {
        ended.record.round - one.report.round
        for ended in rounds for one in ended.responses.accepted if one.thing == "c0" and one.report
    }  # fmt: skip
    assert ages == {2}, "it takes as long as two rounds and a half"
    waiting = {member.thing: member.assigned_in for member in rounds[1].record.cohort}
    assert waiting["c0"] == 1
    assert waiting["c1"] is None


def test_an_update_that_is_later_than_max_staleness_is_dropped(tmp_path: Path) -> None:
    devices = {"c0": {"examples_per_s": 20 / 99.0}, "*": {"examples_per_s": 29.0}}
    federation = Federation(tmp_path, clients=4, devices=devices, rounds=5, target=2, max_staleness=1)
    watched = Watched(federation)
    rounds = federation.rounds(watched)
    assert all("c0" not in states(ended) for ended in rounds)
    assert all("c0" not in computed for computed in watched.computed.values())


def test_adaptive_rounds_begin_as_far_apart_as_they_have_taken_on_average(tmp_path: Path) -> None:
    federation = Federation(
        tmp_path,
        devices={"c0": SLOW, "*": FAST},
        selection={"policy": "random", "cohort": 1, "seed": 1, "smoothing": 0.5},
        pacing={"policy": "adaptive"},
        rounds=6,
    )
    rounds = [ended.record for ended in federation.rounds()]
    took = [(record.closed_at or 0.0) - record.opened_at for record in rounds]
    assert max(took) > 10 * min(took)
    average = took[0]
    for record, after, took_s in zip(rounds, rounds[1:], took[1:], strict=False):
        assert after.opened_at == pytest.approx(max(record.opened_at + average, record.closed_at or 0.0))
        average = (average + took_s) / 2


def test_rounds_open_at_the_times_of_cron(tmp_path: Path) -> None:
    pacing = {"policy": "cron", "times": "*/10 * * * *"}
    rounds = Federation(tmp_path, devices={"*": FAST}, pacing=pacing).rounds()
    assert [ended.record.opened_at for ended in rounds] == [0.0, 600.0, 1200.0]


def test_rounds_open_when_enough_clients_are_there_and_who_was_there_hears_of_them(tmp_path: Path) -> None:
    pacing = {"policy": "when_ready", "ready": "80%", "wait_s": 1e6}
    devices = {"*": {"examples_per_s": 100.0, "availability": 0.5}}
    federation = Federation(tmp_path, devices=devices, pacing=pacing, rounds=4, quorum=1)
    first, *later = federation.rounds()
    assert first.record.opened_at == 0.0
    assert all(ended.record.accepted >= 4 for ended in later), "those that were there"
    waits = [
        after.record.opened_at - (before.record.closed_at or 0.0)
        for before, after in zip((first, *later), later, strict=False)
    ]
    assert all(wait_s % 300 == pytest.approx(0.0) for wait_s in waits)
    assert max(waits) > 0


def test_rounds_wait_no_longer_for_clients_than_they_may(tmp_path: Path) -> None:
    pacing = {"policy": "when_ready", "ready": 5, "wait_s": 700}
    devices = {"c0": OFFLINE, "*": FAST}
    rounds = Federation(tmp_path, devices=devices, pacing=pacing, rounds=2).rounds()
    assert [ended.record.opened_at for ended in rounds] == [0.0, 800.0], "700 s after the deadline"


def test_a_stop_rule_ends_the_rounds_and_names_the_best_model(tmp_path: Path) -> None:
    (ended,) = Federation(tmp_path, stop={"metric": "loss", "at": 1e9}).rounds()
    assert ended.record.best is not None
    assert (ended.record.best.model, ended.record.best.round) == (ended.record.base, 1)
    assert ended.record.stopped == f"loss is {ended.record.best.value:.4g}: stop.at is 1e+09"
    assert (ended.federation.status, ended.federation.stopped) == ("finished", ended.record.stopped)


def test_a_budget_ends_the_rounds_before_they_cost_more(tmp_path: Path) -> None:
    (first,) = Federation(tmp_path / "one", rounds=1).rounds()
    cost = first.record.spent_usd
    assert cost is not None
    rounds = Federation(tmp_path / "some", rounds=9, stop={"budget_usd": 3.5 * cost}).rounds()
    assert [ended.record.spent_usd for ended in rounds] == [pytest.approx(number * cost) for number in (1, 2, 3)]
    assert rounds[-1].federation.status == "finished"
    assert "stop.budget_usd" in rounds[-1].record.stopped


def test_rounds_go_on_while_a_stop_rule_says_nothing(tmp_path: Path) -> None:
    rounds = Federation(tmp_path, stop={"metric": "loss", "at": 1e-9, "patience": 50}).rounds()
    assert [ended.record.stopped for ended in rounds] == ["", "", ""]
    losses = [(ended.record.metrics or {})["loss_before"] for ended in rounds]
    assert rounds[-1].federation.best is not None
    assert rounds[-1].federation.best.value == min(losses)


def test_rounds_keep_a_fixed_rate(tmp_path: Path) -> None:
    pacing = {"policy": "fixed_rate", "interval_s": 60}
    rounds = Federation(tmp_path, devices={"*": FAST}, pacing=pacing).rounds()
    assert [ended.record.opened_at for ended in rounds] == [0.0, 60.0, 120.0]


def test_whose_data_task_or_training_is_broken_is_told_with_its_reason_and_the_round_goes_on(tmp_path: Path) -> None:
    federation = Federation(tmp_path, does={"c0": "raises", "c1": "fails", "c2": "diverges"}, quorum=1)
    rounds = federation.rounds()
    for ended in rounds:
        assert ended.record.status == "closed"
        assert states(ended) == {
            "c0": "declined", "c1": "failed", "c2": "failed", "c3": "accepted", "c4": "accepted",
        }  # fmt: skip
        reasons = {one.thing: one.reason or "" for one in ended.responses.failed}
        assert "load_data() of task.py: ValueError: no such sensor" in reasons["c0"]
        assert "train() of task.py: ValueError: the sensor is wet" in reasons["c1"]
        assert "diverged" in reasons["c2"]


def test_who_drops_out_says_so_and_others_do_not_wait_for_it(tmp_path: Path) -> None:
    devices = {"c0": {"dropout": 1.0, "examples_per_s": 1.0}, "*": {"examples_per_s": 1.0}}
    ended, *_ = Federation(tmp_path, devices=devices).rounds()
    assert states(ended)["c0"] == "failed"
    assert ended.responses.failed[0].arrived_at < 20.0
    assert ended.record.closed_at == 32.0


def test_too_few_clients_end_a_simulation(tmp_path: Path) -> None:
    with pytest.raises(NotEnoughClientsError, match="round 1 needs 9 clients; 5 are there"):
        Federation(tmp_path, selection={"minimum": 9}).rounds()


POLICIES = """
def choose_clients(clients, count, round_number):
    return [client.thing for client in clients if client.thing != f"c{round_number}"]

def is_complete(round):
    return round.accepted >= 3 and "c0" in round.reports

def average(updates, base):
    updates = list(updates)
    return {name: sum(update.delta[name] for update in updates) for name in base}

def next_round_delay(round):
    return 10.0 * round.number
"""


def test_custom_policies_are_asked(tmp_path: Path) -> None:
    federation = Federation(
        tmp_path,
        policies=POLICIES,
        devices={"c0": {"examples_per_s": 1.0}, "*": FAST},
        selection={"policy": "custom"},
        completion="custom",
        averaging={"rule": "custom"},
        pacing={"policy": "custom"},
    )
    rounds = federation.rounds()
    assert [sorted(member.thing for member in ended.record.cohort) for ended in rounds] == [
        ["c0", "c2", "c3", "c4"], ["c0", "c1", "c3", "c4"], ["c0", "c1", "c2", "c4"],
    ]  # fmt: skip
    assert [(ended.record.status, ended.record.accepted) for ended in rounds] == [("closed", 4)] * 3
    assert [ended.record.opened_at for ended in rounds] == [0.0, 30.0, 70.0]


@pytest.mark.parametrize(
    "policy", ["balanced", "all", "random", "fastest", "oort", "tiers", "stratified", "probabilistic"]
)
def test_each_selection_policy_selects(tmp_path: Path, policy: str) -> None:
    cohort = {} if policy in ("all", "probabilistic") else {"cohort": 3}
    rounds = Federation(tmp_path, devices={"*": FAST}, selection={"policy": policy, **cohort}).rounds()
    assert [ended.record.status for ended in rounds] == ["closed"] * 3
    assert all(len(ended.record.cohort) == 3 for ended in rounds) or policy in ("all", "probabilistic")


@pytest.mark.parametrize("rule", ["mean", "weighted", "median", "trimmed_mean", "krum", "multi_krum"])
def test_each_rule_averages(tmp_path: Path, rule: str) -> None:
    federation = Federation(tmp_path, averaging={"rule": rule}, quorum=5, rounds=2)
    rounds = federation.rounds()
    assert [ended.record.status for ended in rounds] == ["closed"] * 2
    assert rounds[0].federation.model != rounds[1].federation.model


@pytest.mark.parametrize("optimizer", ["fedavg", "fedavgm", "fedadagrad", "fedadam", "fedyogi"])
def test_each_optimizer_takes_its_steps_from_its_state(tmp_path: Path, optimizer: str) -> None:
    averaging = {"optimizer": {"name": optimizer}, "ema": 0.5}
    federation = Federation(tmp_path, averaging=averaging, download="bfloat16", encoding="bfloat16")
    simulation = federation.simulation()
    rounds = list(simulation.run())
    assert [ended.record.status for ended in rounds] == ["closed"] * 3
    files = simulation.models.files(3)
    assert set(files) == {"model", "ema", "bfloat16"} | ({"optimizer"} if optimizer != "fedavg" else set())
    assert rounds[-1].record.model is not None
    assert rounds[-1].record.model.copy is not None
    assert load(files["model"])[0].message
