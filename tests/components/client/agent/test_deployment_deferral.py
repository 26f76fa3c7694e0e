from components.client.agent.deployment_deferral import Deferrals


def test_a_deployment_goes_on_at_once_if_nothing_is_under_way() -> None:
    assert Deferrals(1800).answer_ms("a", busy=False, now=5.0) == 0


def test_a_deployment_is_asked_to_come_back_until_its_time_is_over() -> None:
    deferrals = Deferrals(150)
    answers = [deferrals.answer_ms("a", busy=True, now=1000.0 + waited) for waited in (0, 60, 120, 150, 500)]
    assert answers == [60_000, 60_000, 30_000, 0, 0]


def test_each_deployment_has_its_own_time() -> None:
    deferrals = Deferrals(100)
    deferrals.answer_ms("a", busy=True, now=0.0)
    assert deferrals.answer_ms("b", busy=True, now=1000.0) == 60_000


def test_a_device_that_is_not_to_defer_never_does() -> None:
    assert Deferrals(0).answer_ms("a", busy=True, now=0.0) == 0
