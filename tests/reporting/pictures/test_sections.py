"""Sections have the numbers of the records, in tables and in pictures."""

import csv
import gzip
import io
import statistics
from base64 import b64decode
from urllib.parse import unquote

import msgspec
import pytest

from cloud.state.spread import spread_of
from reporting.pictures import formats
from reporting.pictures.csv_files import clients_csv, rounds_csv
from reporting.pictures.device_figures import device_figures
from reporting.pictures.report import report
from reporting.pictures.sections import SECTIONS
from reporting.pictures.sections.participation import STATES
from reporting.pictures.spread import spreads
from reporting.records import STEPS, ClientRow
from tests.reporting.pictures.examples import METRICS, line, measured, of_records, run_of, with_costs
from tests.reporting.pictures.pages import Element, parsed

RUN = with_costs(run_of())
PAGE = parsed(report(RUN))


def facts(section: Element) -> dict[str, str]:
    names, values = (list(section.all(kind)) for kind in ("dt", "dd"))
    return {name.text: value.text for name, value in zip(names, values, strict=True)}


def test_every_section_is_there_with_a_heading_and_a_link_to_it() -> None:
    names = [section.name for section in SECTIONS]
    assert [one.attributes["id"] for one in PAGE.all("section")] == names
    assert [link.attributes["href"] for link in PAGE.first("nav").all("a")] == [f"#{name}" for name in names]
    for section in PAGE.all("section"):
        assert section.first("h2").attributes["id"] == section.attributes["aria-labelledby"]


def test_the_overview_has_the_sums() -> None:
    told, totals = facts(PAGE.section("overview")), RUN.summary.totals
    assert told["rounds with a new model"] == "5 of 20"
    assert told["devices"] == "4"
    assert told["updates that count"] == str(totals.accepted)
    assert told["time"] == formats.seconds(totals.round_s)
    assert told["to the devices"] == formats.size(totals.bytes_down)
    assert told["dollars in AWS, estimated"] == "$0.075"
    last = RUN.summary.metrics.clients["accuracy_after"]
    assert last.best is not None
    rows = {name: cells for name, *cells in PAGE.section("overview").table("Metrics")}
    assert rows["accuracy_after"] == [
        f"{last.last.value:.4g}",
        f"{last.best.value:.4g}",
        str(last.best.round),
    ]


def test_a_run_that_failed_says_why_at_once() -> None:
    page = parsed(report(of_records([], [], status="failed", reason="no device answered")))
    assert "no device answered" in page.section("overview").of_class("problem")[0].text


def test_every_metric_of_every_round_is_listed_and_drawn_by_round_and_by_time() -> None:
    section = PAGE.section("learning")
    header, *rows = section.table("Every round's metrics")
    assert set(header[1:]) == {"held_out_accuracy", *METRICS}
    for one, row in zip(RUN.rounds, rows, strict=True):
        values = {"held_out_accuracy": one.held_out["accuracy"], **one.metrics}
        assert row == [str(one.round), *(f"{values[name]:.4g}" for name in header[1:])]
    titles = [figure.first("figcaption").text for figure in section.all("figure")]
    assert titles == ["accuracy", "accuracy over time", "loss", "loss over time"]
    hints = [title.text for title in section.chart("accuracy").all("title")]
    assert hints == [
        f"round {one.round}: held out {one.held_out['accuracy']:.4g}, before {one.metrics['accuracy_before']:.4g}, "
        f"after {one.metrics['accuracy_after']:.4g}"
        for one in RUN.rounds
    ]


def test_a_metric_that_is_not_finite_is_listed_as_that() -> None:
    run = of_records([line(1, 100.0, {"train": 1.0}, metrics={"loss_after": None})], [])
    assert parsed(report(run)).section("learning").table("Every round's metrics")[1] == ["1", "not finite"]


def test_the_time_of_each_round_is_split_as_recorded() -> None:
    header, *rows = PAGE.section("time").table("Every round's time")
    assert header == ["round", "whole", *STEPS, "longest training"]
    for one, row in zip(RUN.rounds, rows, strict=True):
        told = [one.round_s, *(one.split[step] for step in STEPS), one.training_s]
        assert row[1:] == [formats.seconds(value) for value in told]


def test_the_time_of_a_round_without_updates_is_shown_as_that() -> None:
    run = of_records([line(1, 100.0, {"train": 5.0}), line(2, 130.0, {}, round_s=30.0, status="aborted")], [])
    header, *rows = parsed(report(run)).section("time").table("Every round's time")
    assert header == ["round", "whole", "train", "wait", "longest training"]
    assert rows == [["1", "5 s", "5 s", "0 s", "0 s"], ["2", "30 s", "0 s", "30 s", "0 s"]]


def test_each_device_has_a_bar_of_the_means_of_its_times() -> None:
    section = PAGE.section("devices")
    figures = sorted(device_figures(RUN.clients).values(), key=lambda one: -one.whole_s)
    _, *rows = section.table("Time of each device, the slowest first")
    assert [(row[0], row[-1]) for row in rows] == [(one.name, formats.seconds(one.whole_s)) for one in figures]
    slowest = figures[0]
    own = [row for row in RUN.clients if row.client == slowest.name]
    assert slowest.phases_s["train"] == pytest.approx(statistics.fmean(row.train_s or 0 for row in own))
    parts = list(section.of_class("bar")[0].all("rect"))
    widths = [int(part.attributes["width"] or 0) for part in parts]
    told = [slowest.phases_s[phase] / slowest.whole_s * 1000 for phase in ("wait", "download", "train", "upload")]
    assert widths == pytest.approx(told, abs=1)
    listed = section.table("4 devices, the slowest first")[1]
    accepted = sum(row.state == "accepted" for row in own)
    assert listed[:2] == [slowest.name, f"{accepted} of 5"]
    assert listed[-2] == formats.size(sum(row.bytes or 0 for row in own))


def test_a_device_without_times_or_metrics_is_listed_all_the_same() -> None:
    run = of_records([line(1, 100.0, {})], [ClientRow(round=1, client="mute", state="vanished")])
    page = parsed(report(run))
    assert page.section("devices").table("1 device, the slowest first")[1][:2] == ["mute", "0 of 1"]
    assert page.section("participation").table("Rounds of each device, those who sent least first")[1][::2] == [
        "mute",
        "0 of 1",
    ]


def test_spread_is_of_the_worst_tenth_the_median_and_the_best_tenth() -> None:
    values = [number / 20 for number in range(20)]
    accuracy = spread_of(values, "accuracy_after")
    assert (accuracy.worst, accuracy.median, accuracy.best) == pytest.approx((0.025, 0.475, 0.925))
    assert accuracy.deviation == pytest.approx(statistics.pstdev(values))
    loss = spread_of(values, "loss_after")
    assert (loss.worst, loss.median, loss.best) == pytest.approx((0.925, 0.475, 0.025))
    assert spread_of([0.5], "accuracy").worst == 0.5


def test_a_value_that_is_not_finite_has_no_part_in_the_spread() -> None:
    assert spreads(measured(0.25, None, 0.75))["accuracy_after"][1].median == 0.5


def test_the_spread_of_each_round_is_listed_and_the_worst_devices_are_named() -> None:
    section = PAGE.section("fairness")
    found = spreads(RUN.clients)
    header, *rows = section.table("Every round's spread over its devices")
    place = header.index("loss_after: worst tenth")
    for one, row in zip(RUN.rounds, rows, strict=True):
        spread = found["loss_after"][one.round]
        told = (spread.worst, spread.median, spread.best, spread.deviation)
        assert row[place : place + 4] == [f"{value:.4g}" for value in told]
    _, *worst = section.table("The devices with the worst accuracy_before, by their last value")
    last = {row.client: row.metrics["accuracy_before"] or 0 for row in RUN.clients if row.round == 5}
    assert [row[:2] for row in worst] == [[n, f"{v:.4g}"] for n, v in sorted(last.items(), key=lambda pair: pair[1])]


def test_participation_counts_each_state_of_each_round_and_device() -> None:
    section = PAGE.section("participation")
    _, *rows = section.table("Every round's clients")
    for one, row in zip(RUN.rounds, rows, strict=True):
        states = [client.state for client in RUN.clients if client.round == one.round]
        assert row[2:8] == [str(states.count(state)) for state in STATES]
        assert row[8:] == [str(one.target), str(one.quorum)]
    _, *strips = section.table("Rounds of each device, those who sent least first")
    for name, _, told in strips:
        states = [client.state for client in RUN.clients if client.client == name]
        assert told == f"{states.count('accepted')} of 5"
    shares = [int(told.split()[0]) for _, _, told in strips]
    assert shares == sorted(shares)


def test_bytes_and_dollars_are_those_of_the_rounds() -> None:
    section = PAGE.section("traffic")
    _, *rows = section.table("Every round's bytes and dollars")
    assert rows == [[str(one.round), f"{one.bytes_down:,}", f"{one.bytes_up:,}", "$0.015"] for one in RUN.rounds]
    assert section.table("Dollars by what is paid for")[1:] == [
        ["Lambda", "$0.05", "$0.01"],
        ["S3 requests", "$0.025", "$0.005"],
        ["together", "$0.075", "$0.015"],
    ]
    hints = [title.text for title in section.chart("Dollars in AWS").all("title")]
    assert hints[-1] == "round 5: dollars so far $0.075"
    assert "what these rounds would cost in AWS, by the prices of us-east-1" in section.text


def test_what_is_not_known_of_costs_is_said() -> None:
    assert "is not known" in parsed(report(run_of())).section("traffic").text


def test_what_went_wrong_is_grouped_by_its_reason() -> None:
    rows = [
        ClientRow(round=1, client="a", state="failed", reason="out of memory"),
        ClientRow(round=2, client="a", state="failed", reason="out of memory"),
        ClientRow(round=2, client="b", state="failed", reason="out of memory"),
        ClientRow(round=2, client="c", state="refused", reason="the norm is 9"),
        ClientRow(round=2, client="d", state="vanished"),
        ClientRow(round=2, client="e", state="unanswered"),
    ]
    lines = [
        line(1, 100.0, {}, status="aborted", reason="2 of 3 updates"),
        line(2, 110.0, {}, warnings=("the model has grown",), not_finite={"loss_after": 2}),
    ]
    section = parsed(report(of_records(lines, rows))).section("failures")
    header, *told = section.table("What went wrong, the most frequent first")
    assert header == ["what", "reason", "times", "devices", "rounds"]
    assert told == [
        ["the device failed", "out of memory", "3", "a, b", "1-2"],
        ["it was not heard of until the deadline", "", "1", "d", "2"],
        ["its update was refused", "the norm is 9", "1", "c", "2"],
        ["the round made no model", "2 of 3 updates", "1", "", "1"],
        ["warning", "loss_after was not finite on some devices", "1", "", "2"],
        ["warning", "the model has grown", "1", "", "2"],
    ]


def test_settings_and_versions_are_told() -> None:
    section = PAGE.section("settings")
    told = facts(section)
    assert (told["fedgrass"], told["Python"], told["torch"]) == ("0.1.0", "3.11.7", "not installed")
    assert (told["model of round"], told["its SHA-256"]) == ("5", "ab" * 32)
    assert "rounds: 20" in section.first("pre").text.splitlines()


def test_the_records_are_in_the_page_as_tables_to_be_downloaded() -> None:
    links = {link.attributes["download"]: link.attributes["href"] or "" for link in PAGE.section("data").all("a")}
    rounds = list(csv.DictReader(io.StringIO(unquote(links["rounds.csv"].partition(",")[2]))))
    assert [float(row["round_s"]) for row in rounds] == [one.round_s for one in RUN.rounds]
    assert [float(row["train_s"]) for row in rounds] == [one.split["train"] for one in RUN.rounds]
    assert [float(row["held_out_accuracy"]) for row in rounds] == [one.held_out["accuracy"] for one in RUN.rounds]
    clients = list(csv.DictReader(io.StringIO(unquote(links["clients.csv"].partition(",")[2]))))
    assert [(row["client"], int(row["bytes"])) for row in clients] == [(one.client, one.bytes) for one in RUN.clients]
    assert [float(row["loss_after"]) for row in clients] == pytest.approx(
        [one.metrics["loss_after"] for one in RUN.clients], rel=1e-3
    )


def test_a_long_table_is_packed_in_the_page() -> None:
    run = run_of(devices=40, rounds=100, name="n" * 120)
    links = {
        link.attributes["download"]: link.attributes["href"] or ""
        for link in parsed(report(run)).section("data").all("a")
    }
    packed = links["clients.csv.gz"].removeprefix("data:application/gzip;base64,")
    assert gzip.decompress(b64decode(packed)).decode() == clients_csv(run.clients)


def test_a_table_in_the_page_has_no_formula() -> None:
    row = ClientRow(round=1, client="=1+1", state="failed", reason='@SUM("a",b)\n', metrics={"=x_after": None})
    header, cells = csv.reader(clients_csv([row]).splitlines())
    assert [cells[1], cells[3], cells[-1]] == ["'=1+1", '\'@SUM("a",b)\\n', "nan"]
    assert header[-1] == "'=x_after"
    named = line(1, 1.0, {}, metrics={"=y_after": 1.0}, reason="+1")
    header, cells = csv.reader(rounds_csv([named]).splitlines())
    assert (header[-1], cells[2]) == ("'=y_after", "'+1")


def test_a_run_without_rounds_has_all_sections_and_claims_nothing_of_rounds() -> None:
    page = parsed(report(of_records([], [], model=None)))
    assert len(list(page.all("section"))) == len(SECTIONS)
    for name in ("time", "traffic", "failures"):
        assert "No round has ended." in page.section(name).text


def test_a_name_of_any_length_is_bounded_where_it_stands_among_others() -> None:
    long = "x" * 5000
    page = parsed(report(of_records([line(1, 1.0, {}, metrics={f"{long}_after": 1.0}, held_out={long: 2.0})], [])))
    for section in ("overview", "learning"):
        assert "x" * 81 not in page.section(section).text
        assert "x" * 60 + "x" in page.section(section).text


def test_a_later_round_changes_only_what_it_belongs_to() -> None:
    """A page that goes on may send a section again when its text has changed."""
    later = msgspec.structs.replace(RUN, summary=msgspec.structs.replace(RUN.summary, written_at=1_700_009_999.0))
    changed = [section.name for section in SECTIONS if str(section.of(RUN)) != str(section.of(later))]
    assert changed == ["settings"]
