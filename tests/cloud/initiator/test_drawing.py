"""cloud/initiator/selection/drawing.py: whom a policy chooses among, in a fleet that is too large to be read."""

import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence

import pytest

from cloud.initiator.selection.cohort import NotEnoughClientsError, select
from cloud.initiator.selection.drawing import Drawn, draw, pool_of
from cloud.initiator.selection.policy import WHOLE_FLEET
from cloud.settings import MAX_COHORT, Selection, SelectionPolicyName
from cloud.state.places import PLACES, Window, place_of, within
from cloud.state.records import ClientRecord
from fedgrass.policies import Client
from tests.cloud.examples import federation

SIZE = 20_000


class LargeFleet:
    """Clients of federation f, and how many of their names and records were read."""

    def __init__(self, size: int = SIZE) -> None:
        self.clients = {
            thing: ClientRecord(federation="f", thing=thing, turnaround_s=float(number % 1000))
            for number, thing in enumerate(f"t{number:06d}" for number in range(size))
        }
        self._placed = sorted((place_of("f", thing), thing) for thing in self.clients)
        self.names = self.records = 0

    def names_in(self, windows: Sequence[Window]) -> list[str]:
        found: list[str] = []
        for first, last in windows:
            start, end = bisect_left(self._placed, (first, "")), bisect_right(self._placed, (last, "~"))
            found += [thing for _, thing in self._placed[start:end]]
        self.names += len(found)
        return found

    def records_of(self, things: Sequence[str]) -> Iterable[ClientRecord]:
        self.records += len(things)
        return [self.clients[thing] for thing in things if thing in self.clients]

    def draw(
        self,
        round_number: int = 1,
        *,
        told: int | None = None,
        takes_part: Callable[[str], bool] = lambda _thing: True,
        busy: Collection[str] = (),
        policy: SelectionPolicyName = "random",
        cohort: int | str = 100,
    ) -> Drawn:
        size = len(self.clients) if told is None else told
        selection = Selection(policy=policy, cohort=cohort)
        return draw(size, selection, round_number, self.names_in, self.records_of, takes_part, busy)


@pytest.fixture(scope="module")
def large() -> LargeFleet:
    return LargeFleet()


def things_of(drawn: Drawn) -> list[str]:
    return [client.thing for client in drawn.clients]


def test_a_round_draws_the_same_clients_each_time_and_another_round_others(large: LargeFleet) -> None:
    assert things_of(large.draw(3)) == things_of(large.draw(3)) == sorted(things_of(large.draw(3)))
    assert len({tuple(things_of(large.draw(number))) for number in range(1, 6)}) == 5


@pytest.mark.parametrize("size", [SIZE, 10 * SIZE])
def test_what_is_read_grows_with_the_cohort_and_not_with_the_fleet(size: int) -> None:
    fleet = LargeFleet(size)
    assert (len(fleet.draw(cohort=100).clients), fleet.records) == (100, 100)
    assert fleet.names == pytest.approx(5_000, rel=0.1)


@pytest.mark.parametrize(
    ("policy", "pool"),
    [
        ("random", 100),
        ("all", MAX_COHORT),
        ("balanced", WHOLE_FLEET),
        ("fastest", WHOLE_FLEET),
        ("probabilistic", WHOLE_FLEET),
    ],
)
def test_a_policy_is_given_what_it_needs(large: LargeFleet, policy: SelectionPolicyName, pool: int) -> None:
    drawn = large.draw(policy=policy, cohort=100 if policy in ("random", "fastest") else "100%")
    assert (len(set(things_of(drawn))), drawn.known, drawn.fits) == (pool, SIZE, True)


def test_each_client_is_drawn_with_the_same_probability() -> None:
    """Also those with few others before them in the order: how often a tenth of the fleet is drawn, by the distance to
    the client before, differs by what chance makes of it."""
    fleet, rounds, cohort = LargeFleet(10_000), 150, 1000
    places = sorted((int(place_of("f", thing), 16), thing) for thing in fleet.clients)
    before = [place for place, _ in places]
    distances = {thing: (place - before[number - 1]) % PLACES for number, (place, thing) in enumerate(places)}
    by_distance = sorted(fleet.clients, key=lambda thing: distances[thing])
    drawn = dict.fromkeys(fleet.clients, 0)
    for number in range(rounds):
        for thing in things_of(fleet.draw(number, cohort=cohort)):
            drawn[thing] += 1
    share = rounds * cohort / len(drawn)
    tenths = [
        statistics.mean(drawn[thing] for thing in by_distance[start : start + 1000]) for start in range(0, 10_000, 1000)
    ]
    assert tenths == pytest.approx([share] * 10, abs=6 * math.sqrt(share / 1000))
    assert statistics.pvariance(drawn.values()) == pytest.approx(share, rel=0.25)


def test_two_neighbours_in_the_order_are_not_drawn_together_more_often_than_the_pool_is_smaller_than_the_fleet() -> (
    None
):
    fleet = LargeFleet(10_000)
    order = sorted(fleet.clients, key=lambda thing: place_of("f", thing))
    pairs = 0
    for number in range(50):
        chosen = set(things_of(fleet.draw(number, cohort=500)))
        pairs += sum(order[index - 1] in chosen and order[index] in chosen for index in range(len(order)))
    alone, in_pools = 50 * 10_000 * 0.05**2, 50 * 5_000 * 0.1**2
    assert alone / 2 < pairs < in_pools * 1.2


def test_who_takes_no_part_is_not_drawn_and_not_counted(large: LargeFleet) -> None:
    drawn = large.draw(takes_part=lambda thing: not thing.endswith("7"), cohort="10%")
    assert not any(thing.endswith("7") for thing in things_of(drawn))
    assert drawn.known == pytest.approx(0.9 * SIZE, rel=0.02)
    assert len(drawn.clients) == MAX_COHORT
    assert drawn.fits


def test_if_few_take_part_the_draw_goes_on_until_all_have_been_looked_at(large: LargeFleet) -> None:
    few = {f"t{number:06d}" for number in range(0, SIZE, 500)}
    drawn = large.draw(takes_part=few.__contains__, cohort=100)
    assert (set(things_of(drawn)), drawn.known) == (few, len(few))
    with pytest.raises(NotEnoughClientsError, match="needs 41 clients; 40 are there"):
        select(drawn.clients, Selection(minimum=41), 1, known=drawn.known)


def test_clients_that_are_busy_are_known_and_not_drawn(large: LargeFleet) -> None:
    busy = set(things_of(large.draw()))
    drawn = large.draw(busy=busy)
    assert (drawn.known, drawn.clients) == (SIZE, [])
    more = large.draw(busy=busy, cohort=130)
    assert (more.known, len(more.clients)) == (SIZE, 30)
    assert not busy & set(things_of(more))


def test_a_thing_that_is_in_the_order_and_has_no_record_any_more_is_replaced() -> None:
    fleet = LargeFleet()
    whole = things_of(fleet.draw())
    for thing in whole[:50]:
        del fleet.clients[thing]
    drawn = fleet.draw(told=SIZE)
    assert len(drawn.clients) == 100
    assert set(whole[50:]) < set(things_of(drawn))


@pytest.mark.parametrize(("told", "fits"), [(SIZE, True), (19_800, True), (10_000, False), (40_000, False)])
def test_a_number_of_clients_that_is_wrong_is_noticed(large: LargeFleet, told: int, fits: bool) -> None:
    assert large.draw(told=told).fits is fits


@pytest.mark.parametrize("told", [1, 4_000, 5_001])
def test_a_number_that_is_much_too_small_has_all_be_looked_at(told: int) -> None:
    fleet = LargeFleet(6_000)
    drawn = fleet.draw(told=told, cohort=1)
    assert len(drawn.clients) == 1
    assert fleet.names <= 6_000
    if told <= 5_000:
        assert (fleet.names, drawn.known) == (6_000, 6_000)


def test_a_whole_draw_looks_at_each_place_once() -> None:
    asked: list[Window] = []

    def names_in(windows: Sequence[Window]) -> list[str]:
        asked.extend(windows)
        return []

    drawn = draw(40_000, Selection(policy="all"), 1, names_in, lambda _: [], lambda _: True)
    assert (drawn.known, drawn.fits) == (0, False)
    end = 0
    for first, last in sorted(asked):
        assert int(first, 16) == end
        end = int(last, 16) + 1
    assert end == PLACES


def test_windows_and_places_agree() -> None:
    things = [f"t{number}" for number in range(1000)]
    half = [Window("0" * 16, "7" + "f" * 15)]
    lower = within("f", things, half)
    assert set(lower) == {thing for thing in things if int(place_of("f", thing), 16) < PLACES // 2}
    assert len(lower) == pytest.approx(500, abs=100)
    assert within("g", things, half) != lower


@pytest.mark.parametrize(
    "policy", ["balanced", "all", "random", "fastest", "oort", "tiers", "stratified", "probabilistic", "custom"]
)
def test_a_small_fleet_is_chosen_from_whole_as_ever(policy: SelectionPolicyName) -> None:
    clients = LargeFleet(WHOLE_FLEET).clients
    settings = federation(name="f", selection={"policy": policy})
    pool = pool_of(clients, settings, 1)
    assert pool == Drawn(clients=list(clients.values()), known=WHOLE_FLEET)
    choose = choose_first if policy == "custom" else None
    cohort = select(pool.clients, settings.selection, 1, choose, known=pool.known)
    assert cohort == select(list(clients.values()), settings.selection, 1, choose)


def choose_first(clients: list[Client], cohort: int, _round: int) -> list[str]:
    return [client.thing for client in clients[:cohort]]


@pytest.mark.parametrize("policy", ["random", "fastest", "custom"])
@pytest.mark.parametrize(("cohort", "expected"), [(7, 7), ("1%", 200), ("50%", MAX_COHORT)])
def test_a_cohort_of_a_large_fleet_has_the_size_that_was_asked_for(
    large: LargeFleet, policy: SelectionPolicyName, cohort: int | str, expected: int
) -> None:
    settings = federation(name="f", selection={"policy": policy, "cohort": cohort})
    pool = pool_of(large.clients, settings, 1)
    choose = choose_first if policy == "custom" else None
    assert len(select(pool.clients, settings.selection, 1, choose, known=pool.known)) == expected


def test_the_fastest_of_a_large_fleet_are_those_of_the_clients_drawn(large: LargeFleet) -> None:
    settings = federation(name="f", selection={"policy": "fastest", "cohort": 100})
    pool = pool_of(large.clients, settings, 1)
    cohort = select(pool.clients, settings.selection, 1, known=pool.known)
    times = [member.turnaround_s for member in cohort if member.turnaround_s is not None]
    assert max(times) < 1000 * 100 / WHOLE_FLEET * 1.5
