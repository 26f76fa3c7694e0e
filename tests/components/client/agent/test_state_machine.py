"""The agent's decisions, as a pure state machine against a shadow that keeps AWS's rules."""

import copy

import msgspec
import pytest

from components.client.agent import shadow, state_machine
from components.client.agent.events import (
    Cancel,
    Complain,
    Connected,
    DataLoaded,
    Effect,
    Event,
    Forget,
    Get,
    Moment,
    Publish,
    ReadinessChanged,
    Remember,
    SayHello,
    ShadowArrived,
    ShadowChanged,
    Started,
    StepEntered,
    Tick,
    Train,
    TrainingAdvanced,
    Unanswered,
)
from components.client.agent.last_assignment import Finished
from components.client.agent.state_machine import State
from protocol.messages import Assignment, ModelReference, Phase, Progress, Training
from sandbox.shadows import Shadow

START = 1_700_000_000.0


LIFE, EARLIER = "0a1b2c3d", "9f8e7d6c"


def assignment(round_number: int, deadline: float = START + 1000, sha: str = "a", life: str = "") -> Assignment:
    return Assignment(
        round=round_number,
        life=life,
        model=ModelReference(key=f"models/{round_number - 1}", sha256=sha * 64, bytes=10),
        training=Training(batch_size=8, learning_rate=0.1, epochs=1),
        deadline=deadline,
    )


class Device:
    """An agent whose publishes reach a shadow, unless `lossy`, and the clock that it sees."""

    def __init__(self, finished: Finished | None = None, cloud: Shadow | None = None) -> None:
        self.state = State(reconcile_s=300.0, finished=finished)
        self.cloud = cloud or Shadow()
        self.now = Moment(START, 50.0)
        self.lossy = False
        self.saved = finished
        self.effects: list[Effect] = []

    def feed(self, event: Event) -> list[Effect]:
        self.state, effects = state_machine.step(self.state, event, self.now)
        for effect in effects:
            match effect:
                case Publish(payload) if not self.lossy:
                    self.cloud.update(msgspec.json.decode(payload)["state"])
                case Remember(finished):
                    self.saved = finished
        self.effects += effects
        return effects

    def document(self) -> ShadowArrived:
        document = msgspec.json.decode(self.cloud.document())
        return ShadowArrived(shadow.parse(msgspec.json.encode(document | {"timestamp": int(self.now.wall)})))

    def get(self) -> list[Effect]:
        return self.feed(self.document())

    def want(self, wanted: Assignment | None = None, **desired: object) -> list[Effect]:
        """The cloud updates the shadow; the agent gets the document."""
        if wanted is not None:
            desired["assignment"] = msgspec.to_builtins(wanted)
        self.cloud.update({"desired": desired})
        return self.get()

    def say(self, round_number: int, phase: Phase, reason: str | None = None, life: str = "") -> list[Effect]:
        return self.feed(TrainingAdvanced(Progress(round=round_number, life=life, phase=phase, reason=reason)))

    def wait(self, seconds: float) -> list[Effect]:
        self.now = Moment(self.now.wall + seconds, self.now.monotonic + seconds)
        return self.feed(Tick())

    @property
    def progress(self) -> Progress | None:
        """What the shadow shows."""
        return shadow.parse(self.cloud.document()).reported.progress


def kinds(effects: list[Effect]) -> list[type[Effect]]:
    return [type(effect) for effect in effects]


def test_it_says_hello_and_gets_its_shadow_when_it_starts() -> None:
    assert kinds(Device().feed(Started())) == [SayHello, Get]


def test_a_get_without_an_answer_is_repeated_with_growing_waits() -> None:
    device = Device()
    device.feed(Started())
    waits = []
    for _ in range(12):
        wait = state_machine.next_wake(device.state) - device.now.monotonic
        waits.append(wait)
        assert device.wait(wait - 0.01) == []
        effects = device.wait(0.01)
        assert effects[0] == Get()
        told = [(effect.silent_s, effect.retry_s) for effect in effects if isinstance(effect, Unanswered)]
        silent_s = sum(waits)
        assert told == ([pytest.approx((silent_s, min(2 * wait, 300)))] if silent_s > 30 else [])
    assert waits[:4] == pytest.approx([1, 2, 4, 8])
    assert waits[-1] == pytest.approx(300)


def test_without_a_shadow_it_stays_idle_until_it_reconciles() -> None:
    device = Device()
    device.feed(Started())
    assert device.feed(ShadowArrived(shadow.Shadow())) == []
    assert state_machine.next_wake(device.state) == device.now.monotonic + 300
    assert kinds(device.wait(300)) == [Get]


def test_a_new_assignment_is_mirrored_accepted_and_trained() -> None:
    device = Device()
    effects = device.want(assignment(3))
    assert kinds(effects) == [Train, Publish]
    assert device.cloud.delta == {}
    assert device.progress == Progress(round=3, phase="accepted", at=START)


def test_a_duplicate_delta_changes_nothing() -> None:
    device = Device()
    device.want(assignment(3))
    assert kinds(device.feed(ShadowChanged(device.cloud.version))) == [Get]
    assert device.get() == []
    assert device.feed(ShadowChanged(device.cloud.version - 1))
    assert device.get() == []


def test_a_delta_that_comes_while_a_get_is_under_way_is_followed_by_one_more_get() -> None:
    device = Device()
    device.feed(Started())
    old = device.document()
    device.cloud.update({"desired": {"assignment": msgspec.to_builtins(assignment(1))}})
    assert device.feed(ShadowChanged(device.cloud.version)) == []
    assert kinds(device.feed(old)) == [Get]
    assert kinds(device.get()) == [Train, Publish]


def test_a_delta_asks_again_at_once_for_an_answer_that_has_been_awaited_for_long() -> None:
    device = Device()
    device.feed(Started())
    while (state_machine.next_wake(device.state) - device.now.monotonic) < 60:
        device.wait(state_machine.next_wake(device.state) - device.now.monotonic)
    device.now = Moment(device.now.wall + 20, device.now.monotonic + 20)
    assert kinds(device.feed(ShadowChanged(1))) == [Get, Unanswered]
    assert state_machine.next_wake(device.state) == device.now.monotonic + 1, "and if that is lost as well, soon again"
    assert device.wait(0.99) == []
    assert Get() in device.wait(0.01)


def test_many_deltas_ask_once_a_second_at_most() -> None:
    device = Device()
    device.feed(Started())
    asked = 0
    for version in range(1, 101):
        asked += device.wait(0.05).count(Get())
        asked += device.feed(ShadowChanged(version)).count(Get())
    assert asked <= 5
    assert kinds(device.get()) == [Get], "and once more, if the answer is older than the last delta"
    assert device.get() == []


def test_a_report_is_looked_for_in_the_shadow_as_nothing_else_answers_it() -> None:
    device = Device()
    device.want(assignment(3))
    device.get()
    device.lossy = True
    device.say(3, "done")
    device.lossy = False
    assert device.wait(state_machine.CONFIRM_S - 1) == []
    assert kinds(device.wait(1)) == [Get]
    assert kinds(device.get()) == [Publish]
    assert device.progress == Progress(round=3, phase="done", at=START)


def test_progress_on_the_way_does_not_put_off_the_look_at_the_shadow() -> None:
    device = Device()
    device.want(assignment(3))
    effects: list[Effect] = []
    for epoch in range(1, 100):
        device.feed(TrainingAdvanced(Progress(round=3, phase="training", epoch=epoch)))
        effects += device.wait(1)
        if Get() in effects:
            break
    assert epoch == state_machine.CONFIRM_S


def test_a_report_that_the_shadow_does_not_take_is_said_again_when_it_is_reconciled_and_not_more_often() -> None:
    device = Device()
    device.want(assignment(3))
    device.lossy = True
    device.say(3, "done")
    device.wait(state_machine.CONFIRM_S)
    assert kinds(device.get()) == [Publish]
    assert state_machine.next_wake(device.state) == device.now.monotonic + 300


def test_a_shadow_that_counts_its_versions_anew_is_not_asked_for_again_and_again() -> None:
    device = Device()
    device.feed(Started())
    device.feed(ShadowChanged(50))
    assert kinds(device.get()) == [Get]
    assert device.get() == []


def test_an_answer_that_was_overtaken_by_a_newer_one_is_ignored() -> None:
    device = Device()
    device.want(assignment(3))
    old = device.document()
    device.want(assignment(4))
    assert device.feed(old) == []
    assert device.state.running == assignment(4)


def test_a_shadow_that_was_deleted_and_made_anew_is_believed() -> None:
    device = Device()
    for round_number in (1, 2, 3):
        device.want(assignment(round_number))
        device.say(round_number, "done")
    device.cloud = Shadow()
    device.wait(5)
    assert Train(assignment(1, sha="b")) in device.want(assignment(1, sha="b"))


def test_a_newer_assignment_supersedes_the_running_one() -> None:
    device = Device()
    device.want(assignment(3))
    effects = device.want(assignment(4))
    assert effects[:2] == [Cancel("superseded"), Train(assignment(4))]
    assert device.progress == Progress(round=4, phase="accepted", at=START)
    assert device.say(3, "done") == []


def test_a_withdrawn_round_is_called_off_and_the_withdrawal_mirrored() -> None:
    device = Device()
    device.want(assignment(3))
    effects = device.want(withdrawn=3)
    assert kinds(effects) == [Cancel, Remember, Publish]
    assert device.cloud.reported["withdrawn"] == 3
    assert device.progress is not None
    assert (device.progress.phase, device.cloud.delta) == ("declined", {})


def test_a_withdrawal_of_earlier_rounds_leaves_the_running_one_alone() -> None:
    device = Device()
    device.want(assignment(3))
    assert kinds(device.want(withdrawn=2)) == [Publish]
    assert device.state.running == assignment(3)


def test_an_assignment_that_is_withdrawn_already_is_mirrored_and_declined_with_the_reason_but_not_trained() -> None:
    device = Device()
    assert kinds(device.want(assignment(3), withdrawn=3)) == [Remember, Publish]
    assert device.cloud.delta == {}
    assert device.progress is not None
    assert (device.progress.phase, device.progress.reason) == ("declined", state_machine.WITHDRAWN)
    assert device.get() == []
    assert Device(None, device.cloud).get() == []  # a device with an empty disk


def test_an_assignment_that_vanishes_is_called_off() -> None:
    device = Device()
    device.want(assignment(3))
    assert Cancel("withdrawn") in device.want(assignment=None)
    assert "assignment" not in device.cloud.reported
    assert device.progress is not None
    assert device.progress.phase == "declined"
    assert device.get() == []


def test_an_expired_assignment_is_declined() -> None:
    device = Device()
    effects = device.want(assignment(3, deadline=START - 12))
    assert kinds(effects) == [Remember, Publish]
    assert device.progress is not None
    assert device.progress.phase == "declined"
    assert device.progress.reason == "deadline passed 12 s before this device saw it"


def test_the_deadline_counts_by_the_clock_of_the_cloud() -> None:
    device = Device()
    device.cloud.update({"desired": {"assignment": msgspec.to_builtins(assignment(3, deadline=START + 60))}})
    document = device.document()
    device.now = Moment(START + 9_999, 50.0)  # this device's clock is hours ahead
    assert Train(assignment(3, deadline=START + 60)) in device.feed(document)
    assert device.state.deadline == 50.0 + 60


def test_the_clock_of_the_cloud_is_known_from_the_last_document() -> None:
    device = Device()
    device.cloud.update({"desired": {"assignment": msgspec.to_builtins(assignment(3, deadline=START + 60))}})
    document = device.document()
    device.now = Moment(START + 9_999, 50.0)
    device.feed(document)
    assert device.state.cloud_offset_s == START - 50.0
    device.feed(ShadowArrived(shadow.Shadow()))
    assert device.state.cloud_offset_s == START - 50.0


def test_what_waits_for_the_device_to_be_ready_is_declined_at_the_deadline() -> None:
    device = Device()
    device.want(assignment(3, deadline=START + 60))
    device.say(3, "accepted", "waiting: 81 °C, over 70 (max_temperature_c)")
    device.wait(60)
    assert device.progress is not None
    assert device.progress.phase == "declined"
    assert device.progress.reason == "deadline passed in phase accepted: waiting: 81 °C, over 70 (max_temperature_c)"


def test_training_that_misses_the_deadline_is_called_off_with_its_last_reason() -> None:
    device = Device()
    device.want(assignment(3, deadline=START + 60))
    device.feed(StepEntered("the upload"))
    device.say(3, "uploading", "cannot upload x: no route")
    effects = device.wait(60)
    assert kinds(effects)[:2] == [Cancel, Remember]
    assert device.progress is not None
    assert device.progress.phase == "failed"
    assert device.progress.reason == "deadline passed in the upload: cannot upload x: no route"


def test_what_hangs_before_training_has_begun_has_failed_where_it_hangs() -> None:
    device = Device()
    device.want(assignment(3, deadline=START + 60))
    device.feed(StepEntered("ready() of task.py"))
    assert device.wait(60)[0] == Cancel("deadline")
    assert device.progress is not None
    assert (device.progress.phase, device.progress.reason) == ("failed", "deadline passed in ready() of task.py")
    device.want(assignment(4, deadline=START + 300))
    device.wait(300)
    assert device.progress is not None
    assert (device.progress.phase, device.progress.reason) == ("declined", "deadline passed in phase accepted")


def test_the_task_that_was_not_ready_and_is_waited_for_has_not_begun() -> None:
    device = Device()
    device.want(assignment(3, deadline=START + 60))
    device.feed(StepEntered("ready() of task.py"))
    device.feed(StepEntered(None))
    device.wait(60)
    assert device.progress is not None
    assert device.progress.phase == "declined"


@pytest.mark.parametrize("jump_s", [-7 * 3600.0, 7 * 3600.0])
def test_a_clock_that_jumps_in_a_round_moves_no_deadline(jump_s: float) -> None:
    device = Device()
    device.want(assignment(3, deadline=START + 60))
    device.feed(StepEntered("train() of task.py"))
    device.now = Moment(START + jump_s, 50.0 + 59)
    assert Cancel("deadline") not in device.feed(Tick())
    device.now = Moment(START + jump_s, 50.0 + 60)
    assert device.feed(Tick())[0] == Cancel("deadline")


def test_an_extended_deadline_lets_training_go_on() -> None:
    device = Device()
    device.want(assignment(3, deadline=START + 60))
    effects = device.want(assignment(3, deadline=START + 120))
    assert kinds(effects) == [Publish]
    assert Cancel not in kinds(device.wait(60))
    assert Cancel in kinds(device.wait(60))


def test_a_finished_round_is_published_at_once_saved_and_not_trained_again() -> None:
    device = Device()
    device.want(assignment(3))
    assert kinds(device.say(3, "done")) == [Remember, Publish]
    assert device.progress == Progress(round=3, phase="done", at=START)
    assert device.get() == []


@pytest.mark.parametrize("phase", ["done", "declined", "failed"])
def test_a_restarted_agent_does_not_repeat_a_finished_round(phase: Phase) -> None:
    device = Device()
    device.want(assignment(3))
    device.say(3, phase, "because")
    restarted = Device(device.saved, device.cloud)
    restarted.feed(Started())
    assert restarted.get() == []


def test_a_restarted_agent_that_forgot_believes_what_its_shadow_reports() -> None:
    device = Device()
    device.want(assignment(3))
    device.say(3, "done")
    assert Train not in kinds(Device(None, device.cloud).get())


def test_a_restarted_agent_goes_on_with_an_unfinished_round() -> None:
    device = Device()
    device.want(assignment(3))
    device.say(3, "training")
    assert Train(assignment(3)) in Device(device.saved, device.cloud).get()


def test_a_restarted_agent_reports_an_end_that_the_cloud_has_not_heard_of() -> None:
    device = Device()
    device.want(assignment(3))
    device.lossy = True
    device.say(3, "done")
    restarted = Device(device.saved, device.cloud)
    assert kinds(restarted.get()) == [Publish]
    assert restarted.progress == Progress(round=3, phase="done", at=START)


def test_a_lost_publish_is_repaired_when_the_shadow_is_reconciled() -> None:
    device = Device()
    device.want(assignment(3))
    device.lossy = True
    device.say(3, "done")
    device.lossy = False
    assert device.progress is not None
    assert device.progress.phase == "accepted"
    assert kinds(device.wait(300)) == [Get]
    assert kinds(device.get()) == [Publish]
    assert device.progress == Progress(round=3, phase="done", at=START)
    assert device.get() == []


def test_progress_on_the_way_is_published_once_a_second_and_the_latest_wins() -> None:
    device = Device()
    device.want(assignment(3))
    for epoch in range(1, 9):
        progress = Progress(round=3, phase="training", epoch=epoch)
        assert device.feed(TrainingAdvanced(progress)) == []
    assert state_machine.next_wake(device.state) == device.now.monotonic + 1
    assert kinds(device.wait(1)) == [Publish]
    assert device.progress == Progress(round=3, phase="training", epoch=8, at=START)
    assert device.wait(1) == []


def test_the_end_replaces_progress_that_waits_to_be_published() -> None:
    device = Device()
    device.want(assignment(3))
    device.say(3, "training")
    device.say(3, "done")
    assert device.wait(1) == []
    assert device.progress == Progress(round=3, phase="done", at=START)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"v": 4, "round": 5}, "version 4"),
        ({"v": 1, "round": 5, "deadline": 4e9}, "model"),
        ({**msgspec.to_builtins(assignment(5)), "encoding": "zip"}, "encoding"),
    ],
)
def test_an_assignment_that_cannot_be_understood_is_declined_once(raw: dict[str, object], reason: str) -> None:
    device = Device()
    assert kinds(device.want(assignment=raw)) == [Remember, Publish]
    assert device.progress is not None
    assert device.progress.phase == "declined"
    assert reason in (device.progress.reason or "")
    assert device.cloud.delta == {}
    assert device.get() == []
    assert Train(assignment(5)) in device.want(assignment(5))


def test_an_assignment_without_a_round_is_complained_of() -> None:
    device = Device()
    effects = device.want(assignment={"v": 1})
    assert kinds(effects) == [Complain, Publish]
    assert device.progress is None


def test_an_assignment_that_cannot_be_understood_does_not_stop_what_runs() -> None:
    device = Device()
    device.want(assignment(3))
    assert Cancel not in kinds(device.want(assignment={"v": 1, "round": 4, "model": None}))
    assert device.state.running == assignment(3)
    assert device.progress == Progress(round=3, phase="accepted", at=START)


def test_it_says_hello_again_when_it_may_train_or_may_not_any_more() -> None:
    device = Device()
    device.feed(Started())
    device.feed(DataLoaded(500))
    assert device.feed(ReadinessChanged()) == [SayHello(500)]


def test_it_says_hello_again_when_the_number_of_examples_is_known() -> None:
    device = Device()
    device.want(assignment(3))
    assert device.feed(DataLoaded(500)) == [SayHello(500)]
    assert device.feed(DataLoaded(500)) == []


def test_a_reconnect_asks_again_for_what_may_have_been_lost() -> None:
    device = Device()
    device.feed(Started())
    device.wait(1)
    device.wait(2)
    assert device.feed(Connected()) == [], "an answer may still come"
    assert kinds(device.wait(1)) == [Get]
    assert state_machine.next_wake(device.state) == device.now.monotonic + 1


def test_a_reconnect_gets_the_shadow() -> None:
    device = Device()
    device.feed(Started())
    device.get()
    assert kinds(device.feed(Connected())) == [Get]


# ---- A federation that was made anew under its name


@pytest.mark.parametrize("phase", ["done", "declined", "failed"])
def test_a_round_that_another_life_finished_is_trained_also_with_the_same_model(phase: Phase) -> None:
    device = Device()
    device.want(assignment(1, life=EARLIER))
    device.say(1, phase, "because", life=EARLIER)
    for again in (Device(device.saved, device.cloud), Device(None, device.cloud), device):
        again.cloud = copy.deepcopy(device.cloud)
        effects = again.want(assignment(1, life=LIFE))
        assert Train(assignment(1, life=LIFE)) in effects
        assert (Forget in kinds(effects)) == (again.saved is not None)
        assert again.progress == Progress(round=1, life=LIFE, phase="accepted", at=START)
        again.say(1, "done", life=LIFE)
        assert again.progress == Progress(round=1, life=LIFE, phase="done", at=START)
        assert again.get() == []


def test_a_federation_that_is_older_than_lives_is_another_life_than_one_made_since() -> None:
    device = Device()
    device.want(assignment(1))
    device.say(1, "done")
    assert Train(assignment(1, life=LIFE)) in device.want(assignment(1, life=LIFE))


def test_what_another_life_withdrew_is_trained_in_this_one_and_what_this_one_withdraws_is_not() -> None:
    device = Device()
    device.want(assignment(7, life=EARLIER), withdrawn=7, withdrawn_life=EARLIER)
    assert Train(assignment(1, life=LIFE)) in device.want(assignment(1, life=LIFE))
    assert device.cloud.delta == {}
    assert Cancel("withdrawn") in device.want(withdrawn=1, withdrawn_life=LIFE)
    assert device.cloud.delta == {}
    assert device.progress is not None
    assert (device.progress.life, device.progress.phase) == (LIFE, "declined")
    assert Train not in kinds(device.want(assignment(1, sha="b", life=LIFE)))
    assert Train in kinds(device.want(assignment(2, life=LIFE)))


def test_a_late_withdrawal_of_another_life_leaves_what_runs_alone() -> None:
    device = Device()
    device.want(assignment(1, life=LIFE))
    assert kinds(device.want(withdrawn=9, withdrawn_life=EARLIER)) == [Publish]
    assert kinds(device.want(withdrawn=9, withdrawn_life=None)) == [Publish]
    assert device.state.running == assignment(1, life=LIFE)


def test_the_same_round_of_another_life_supersedes_the_one_that_runs_and_its_end_is_not_the_others() -> None:
    device = Device()
    device.want(assignment(1, life=EARLIER))
    assert kinds(device.want(assignment(1, life=LIFE)))[:2] == [Cancel, Train]
    for phase in ("training", "done", "failed"):
        assert device.feed(TrainingAdvanced(Progress(round=1, life=EARLIER, phase=phase))) == []
    assert device.progress == Progress(round=1, life=LIFE, phase="accepted", at=START)


def test_what_is_no_assignment_is_declined_in_its_own_life() -> None:
    device = Device()
    for life in (EARLIER, LIFE):
        device.want(assignment={"v": 2, "round": 1, "life": life})
        assert device.progress is not None
        assert (device.progress.life, device.progress.round, device.progress.phase) == (life, 1, "declined")
