"""What can happen to a round on a device, and how the round has to end all the same."""

from sandbox.nucleus.personality import CLASSIC, LITE
from trials.soaking.day import HOUR_S, Day, Trouble

NUCLEI = (CLASSIC, LITE)


def calm(day: Day) -> None:
    """Nothing happens."""
    day.assign()


def failing_task(day: Day) -> None:
    """The task raises."""
    day.assign("fail")


def unready_task(day: Day) -> None:
    """The task does not want to train now."""
    day.assign("unready")


def nonsense(day: Day) -> None:
    """The assignment is of another version."""
    day.assign_nonsense()


def withdrawal(day: Day) -> None:
    """The round is over before the device is done."""
    day.assign("hang")
    day.wait_for_training()
    day.withdraw()


def next_round(day: Day) -> None:
    """The next round comes while the device is busy with one."""
    day.assign("hang")
    day.wait_for_training()
    day.ends["superseded"] += 1
    day.assign()


def deadline(day: Day) -> None:
    """Training takes too long."""
    day.assign("hang", lasts_s=HOUR_S)


def memory_runs_out(day: Day) -> None:
    """The training process is killed."""
    day.assign("hang")
    day.wait_for_training()
    day.device.kill_training()


def agent_killed(day: Day) -> None:
    """The agent is killed while it trains."""
    day.assign("hang")
    day.wait_for_training()
    day.be("train")
    day.device.kill_agent()


def power_cut(day: Day) -> None:
    """The device is off for a while."""
    day.assign("hang")
    day.wait_for_training()
    day.be("train")
    day.device.cut_power(day.random.uniform(120, 3600), day.random.choice(NUCLEI))


def nucleus_restarted(day: Day) -> None:
    """The nucleus ends while the device trains, and comes back."""
    day.assign("hang")
    day.wait_for_training()
    day.be("train")
    day.device.restart_nucleus(day.random.choice(NUCLEI))


def offline_at_first(day: Day) -> None:
    """The broker is away when the round opens."""
    day.nucleus.go_offline()
    day.assign()
    day.pause(1200)
    day.nucleus.go_online()


def offline_in_training(day: Day) -> None:
    """The broker is away when the device has finished."""
    day.assign("hang")
    day.wait_for_training()
    day.nucleus.go_offline()
    day.be("train")
    day.pause(3600)
    day.nucleus.go_online()


def offline_past_the_deadline(day: Day) -> None:
    """The broker is away until the round is over."""
    day.assign("hang", lasts_s=2 * HOUR_S)
    day.wait_for_training()
    day.nucleus.go_offline()
    day.pause(2.5 * HOUR_S)
    day.nucleus.go_online()


def broker_restarts(day: Day) -> None:
    """The broker goes and comes a few times."""
    day.assign()
    for _ in range(3):
        day.nucleus.go_offline()
        day.pause(60)
        day.nucleus.go_online()
        day.pause(60)


def subscriptions_fall_silent(day: Day) -> None:
    """The nucleus's MQTT daemon restarts before the round opens, and again while the device trains."""
    day.nucleus.fall_silent()
    day.assign("hang")
    day.wait_for_training()
    day.nucleus.fall_silent()
    day.withdraw()


def s3_away(day: Day) -> None:
    """S3 refuses everything for a while."""
    day.s3_is_away = True
    day.assign()
    day.pause(1200)
    day.s3_is_away = False


TROUBLES = (
    Trouble(calm, "done"),
    Trouble(failing_task, "failed"),
    Trouble(unready_task, "declined"),
    Trouble(nonsense, "declined"),
    Trouble(withdrawal, "declined"),
    Trouble(next_round, "done"),
    Trouble(deadline, "failed"),
    Trouble(memory_runs_out, "failed"),
    Trouble(agent_killed, "done", ends_agent=True),
    Trouble(power_cut, "done", ends_agent=True),
    Trouble(nucleus_restarted, "done", ends_agent=True),
    Trouble(offline_at_first, "done"),
    Trouble(offline_in_training, "done"),
    Trouble(offline_past_the_deadline, "failed"),
    Trouble(broker_restarts, "done"),
    Trouble(subscriptions_fall_silent, "declined"),
    Trouble(s3_away, "done"),
)
