"""The commands on a federation's clients: who they are, what was logged of them, and forgetting one."""

import json
import re
import time
from collections.abc import Iterator

import pytest

from cloud.state.clients import ClientHistory
from operations.deployment import Deployment
from protocol import names
from protocol.messages import Hello
from sandbox.embedded_aws import EmbeddedAws
from sandbox.polling import eventually
from sandbox.simulated_clients import HELLO
from tests.cli.running import fedgrass
from tests.cli.test_screen import HOSTILE, SHOWN
from tests.cloud.simulated import SimulatedFederation

HOUR_S = 3600.0


@pytest.fixture(autouse=True)
def operator(aws: EmbeddedAws, deployed: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the commands use the embedded AWS."""
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def fleet(aws: EmbeddedAws, deployed: Deployment) -> Iterator[str]:
    """A federation of twelve clients that have done more or less well."""
    simulated = SimulatedFederation(aws, deployed, "listing")
    simulated.create([], rounds=1)
    clients, now = simulated.operations.clients, time.time()
    for number in range(12):
        hello = Hello(
            component_version="0.2.0" if number % 2 else "0.1.0",
            architecture="aarch64" if number < 8 else "x86_64",
            memory_bytes=number << 30,
            cpu_count=4,
            examples=number * 10 if number < 10 else None,
            nucleus="lite 2.6.0" if number < 6 else None,
        )
        clients.greet(simulated.name, f"pi-{number:02}", hello, now - number * HOUR_S - 60)
    clients.record_histories(
        simulated.name,
        [
            ClientHistory(thing="pi-03", turnaround_s=12.5, missed=0, last_round=7),
            ClientHistory(
                thing="pi-04",
                turnaround_s=300,
                missed=3,
                last_round=6,
                last_reason="failed: out of memory",
                download_s=12.5,
                train_s=240,
                upload_s=30,
            ),
            ClientHistory(thing="pi-05", turnaround_s=None, missed=9, last_round=7, last_reason=f"failed: {HOSTILE}"),
        ],
    )
    simulated.expel("pi-06")
    yield simulated.name
    simulated.stop()


def listed(*words: str) -> list[str]:
    """The clients that a command lists."""
    return [client["thing"] for client in fedgrass("clients", *words, "--json").result["clients"]]


def pis(*numbers: int) -> list[str]:
    return [f"pi-{number:02}" for number in numbers]


def test_a_client_is_shown_with_what_it_is_and_how_it_has_done(fleet: str) -> None:
    heading, *rows = fedgrass("clients", fleet).out.splitlines()
    assert heading.split() == [
        *("client", "version", "nucleus", "architecture", "memory"),
        *("examples", "seen", "turnaround", "download", "train", "upload", "missed", "reason"),
    ]
    assert re.split(r"  +", rows[4]) == [
        *("pi-04", "0.1.0", "lite 2.6.0", "aarch64", "4.0G"),
        *("40", "4h ago", "5m", "12.5s", "4m", "30.0s", "3", "round 6: failed: out of memory"),
    ]
    assert rows[5].endswith(f"round 7: failed: {SHOWN}")
    assert rows[6].endswith("  expelled")
    assert re.split(r"  +", rows[10])[3:] == ["10.0G", "10h ago", "0"]
    told = fedgrass("clients", fleet, "--where", "client=pi-04", "--json").result["clients"]
    assert [(client["last_reason"], client["last_round"], client["expelled"]) for client in told] == [
        ("failed: out of memory", 6, False)
    ]


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        (["version=0.1.*", "architecture=x86_64"], pis(8, 10)),
        (["missed=3.."], pis(4, 5)),
        (["missed=3"], pis(4)),
        (["memory=..1G"], pis(0, 1)),
        (["memory=2048M..3G"], pis(2, 3)),
        (["examples="], pis(10, 11)),
        (["examples=80.."], pis(8, 9)),
        (["nucleus=lite*", "client=pi-0[34]"], pis(3, 4)),
        (["nucleus=", "seen=..7.5h"], pis(6, 7)),
        (["reason=*memory*"], pis(4)),
        (["seen=630m.."], pis(11)),
        (["turnaround=1m..1h"], pis(4)),
        (["train=2m.."], pis(4)),
        (["turnaround=1m..1h", "missed=0"], []),
    ],
    ids=str,
)
def test_clients_are_filtered_by_any_column(fleet: str, conditions: list[str], found: list[str]) -> None:
    assert listed(fleet, *(word for condition in conditions for word in ("--where", condition))) == found


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--sort", "missed", "--descending", "--limit", "3"], pis(5, 4, 0)),
        (["--sort", "seen", "--limit", "2"], pis(0, 1)),
        (["--sort", "seen", "--descending", "--limit", "2"], pis(11, 10)),
        (["--sort", "turnaround", "--limit", "3"], pis(3, 4, 0)),
        (["--sort", "turnaround", "--descending", "--limit", "3"], pis(4, 3, 0)),
        (["--sort", "nucleus", "--limit", "7"], pis(0, 1, 2, 3, 4, 5, 6)),
        (["--sort", "version", "--descending", "--where", "architecture=x86_64"], pis(9, 11, 8, 10)),
    ],
    ids=str,
)
def test_clients_are_sorted_by_any_column_and_those_of_which_it_is_not_known_come_last(
    fleet: str, words: list[str], found: list[str]
) -> None:
    assert listed(fleet, *words) == found


def test_a_long_list_is_told_page_by_page(fleet: str) -> None:
    shown = fedgrass("clients", fleet, "--limit", "5")
    assert "go on with --after pi-04" in shown.out
    pages, after = [], ""
    more = True
    while more:
        told = fedgrass("clients", fleet, "--limit", "5", "--after", after, "--json").result
        pages.append([client["thing"] for client in told["clients"]])
        more, after = told["more"], pages[-1][-1]
    assert pages == [pis(*range(5)), pis(*range(5, 10)), pis(10, 11)]
    assert fedgrass("clients", fleet, "--after", "pi-11").out == f"{fleet} has no such client\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--where", "missed"], "write COLUMN=VALUE"),
        (["--where", "colour=red"], "no column 'colour': there are client, version"),
        (["--where", "missed=often"], "'often' in 'missed=often' is no number"),
        (["--where", "memory=2d.."], "with K, M, G or nothing behind it"),
        (["--where", "missed=-1"], "is no number"),
        (["--where", "seen=1.."], ""),
        (["--sort", "colour"], "no column 'colour'"),
        (["--descending"], "--sort"),
        (["--sort", "seen", "--after", "pi-01"], "either --after or --sort"),
        (["--limit", "0"], "'--limit'"),
    ],
    ids=str,
)
def test_what_no_column_can_be_is_refused(fleet: str, words: list[str], said: str) -> None:
    ran = fedgrass("clients", fleet, *words)
    assert (ran.status, said in ran.error) == (2 if said else 0, True)


def test_a_start_without_clients_says_what_brings_them(simulated: SimulatedFederation) -> None:
    simulated.create([], rounds=1, selection={"minimum": 2})
    ran = fedgrass("start", simulated.name)
    assert ran.status == 0
    assert "round 1 needs 2 clients, and none has joined so far" in ran.out
    assert f"com.fedgrass.Client with federation {simulated.name} in its configuration" in ran.out
    assert fedgrass("clients", simulated.name).out == f"{simulated.name} has no client yet\n"
    simulated.greet("d0")
    assert "and 1 has joined so far" in fedgrass("resume", simulated.name).out
    assert fedgrass("start", simulated.name, "--json").result["lacking_clients"] == 1
    for thing in ("d1", "d2"):
        simulated.greet(thing)
    assert "joined" not in fedgrass("start", simulated.name).out


def test_a_start_without_clients_names_the_thing_group(aws: EmbeddedAws, simulated: SimulatedFederation) -> None:
    aws.client("iot").create_thing_group(thingGroupName="meadow")
    for thing in ("m0", "m1"):
        simulated.register(thing)
        aws.client("iot").add_thing_to_thing_group(thingGroupName="meadow", thingName=thing)
    simulated.create([], rounds=1, thing_group="meadow")
    assert "in its configuration, in thing group meadow" in fedgrass("start", simulated.name).out


def test_a_forgotten_client_leaves_nothing_until_its_next_hello(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1"], rounds=1)
    simulated.report_progress("d0", 1, "accepted")
    ran = fedgrass("forget", simulated.name, "d0")
    assert ran.status == 0
    assert "the record of d0" in ran.out
    assert listed(simulated.name) == ["d1"]
    iot = simulated.aws.client("iot-data")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.get_thing_shadow(thingName="d0", shadowName=names.shadow_name(simulated.name))
    again = fedgrass("forget", simulated.name, "d0", "--json")
    assert (again.status, again.envelope["error"]["code"]) == (2, "unknown_client")
    simulated.say_hello("d0", examples=HELLO.examples)
    eventually(lambda: "d0" in listed(simulated.name), "d0 to be back")
    assert fedgrass("forget", simulated.name, "d1", "--json").result == {
        "federation": simulated.name,
        "thing": "d1",
        "had_record": True,
        "had_shadow": False,
    }


def test_a_client_that_a_round_waits_for_is_not_forgotten(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1"], rounds=1)
    simulated.start()
    simulated.opened(1)
    ran = fedgrass("forget", simulated.name, "d0", "--json")
    assert (ran.status, ran.envelope["error"]["code"]) == (1, "round_under_way")
    assert f"fedgrass abort-round {simulated.name}" in ran.error
    assert listed(simulated.name) == ["d0", "d1"]
    assert simulated.desired("d0").assignment is not None
    assert fedgrass("abort-round", simulated.name).status == 0
    assert fedgrass("forget", simulated.name, "d0").status == 0


def test_one_who_is_expelled_stays_so_when_it_is_forgotten(simulated: SimulatedFederation) -> None:
    simulated.create(["d0"], rounds=1)
    fedgrass("expel", "d0", "--federation", simulated.name)
    assert fedgrass("forget", simulated.name, "d0").status == 0
    assert fedgrass("status", simulated.name, "--json").result["federations"][0]["expelled"] == ["d0"]


def test_the_functions_lines_on_a_federation_are_shown_by_round_and_by_thing(simulated: SimulatedFederation) -> None:
    simulated.create(["d0", "d1"], rounds=2)
    simulated.start()
    for number, reason in ((1, "out of memory"), (2, f"{HOSTILE}\nfederation={simulated.name} round=2 forged")):
        simulated.opened(number)
        for thing in ("d0", "d1"):
            simulated.report_progress(thing, number, "failed", reason)
        simulated.ended(number)
    last = "aborted: accepted=0 failed=2"

    def told() -> list[dict[str, object]]:
        lines = fedgrass("logs", simulated.name, "--json").result["lines"]
        return [line for line in lines if line["round"] == 2 and str(line["text"]).startswith(last)]

    assert [(line["function"], line["level"]) for line in eventually(told, last)] == [("averager", "INFO")]
    shown = fedgrass("logs", simulated.name).out
    assert re.search(r"^\S+ \S+ initiator INFO round=1 open: cohort=2", shown, re.MULTILINE)
    assert all(line.isprintable() for line in shown.split("\n"))
    assert not any(line.split()[4] == "forged" for line in shown.splitlines())
    of_thing = fedgrass("logs", simulated.name, "--thing", "d1", "--round", "1").out.splitlines()
    assert [line.partition("INFO ")[2] for line in of_thing] == ["round=1 thing=d1 failed: out of memory"]
    client = fedgrass("clients", simulated.name, "--where", "client=d0", "--json").result["clients"][0]
    assert (client["last_round"], client["missed"]) == (2, 2)
    assert json.dumps(client["last_reason"]).startswith('"failed: ')
    assert "no such line" in fedgrass("logs", simulated.name, "--hours", "0").out
    mistyped = fedgrass("logs", simulated.name, "--thing", "nope", "--round", "1")
    assert mistyped.status == 0
    assert f"no such line on nope: look for its name in `fedgrass clients {simulated.name}`" in mistyped.out
    assert "no such line on nope" in fedgrass("logs", simulated.name, "--thing", "nope", "--json").error
    assert fedgrass("logs", simulated.name, "--round", "9").status == 2
