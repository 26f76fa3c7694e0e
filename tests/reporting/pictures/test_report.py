"""A report is one file that needs nothing else, whatever the texts in its records are."""

import base64
import hashlib
import re
import string

import hypothesis
import msgspec
from hypothesis import given
from hypothesis import strategies as st

from reporting.pictures.recorded_run import Costs, RecordedRun
from reporting.pictures.report import STYLE, report
from reporting.records import ClientRow, RoundLine, Versions
from tests.reporting.pictures.examples import line, of_records, run_of, with_costs
from tests.reporting.pictures.pages import Element, parsed

HOSTILE = (
    "</title></style></script><script>alert(1)</script><img src=x onerror=alert(1)>\"'><svg onload=alert(1)>"
    "<a href=javascript:alert(1)>&lt;&#x27;\x00\x1b[31m\u202egnp.exe\u2066"
)

PLAIN = {"html", "head", "meta", "title", "style", "body", "a", "header", "h1", "h2", "h3", "p", "nav", "ul", "li"}
PLAIN |= {"main", "section", "dl", "div", "dt", "dd", "table", "caption", "thead", "tbody", "tr", "th", "td"}
PLAIN |= {"figure", "figcaption", "svg", "g", "path", "rect", "text", "details", "summary", "code", "pre", "strong"}


def hostile_run() -> RecordedRun:
    """Each text of the records is hostile."""
    rows = [
        ClientRow(round=1, client=HOSTILE, state="failed", reason=HOSTILE, train_s=1.0),
        ClientRow(round=1, client=f"2{HOSTILE}", state="accepted", metrics={f"{HOSTILE}_after": 0.5}),
    ]
    told = line(
        1,
        100.0,
        {"train": 1.0, HOSTILE: 2.0},
        status="aborted",
        reason=HOSTILE,
        metrics={f"{HOSTILE}_after": 0.5},
        held_out={HOSTILE: 1.0},
        not_finite={HOSTILE: 1},
        warnings=(HOSTILE,),
    )
    run = of_records(
        [told],
        rows,
        federation=HOSTILE,
        life=HOSTILE,
        reason=HOSTILE,
        left_out={HOSTILE: 1},
        versions=Versions(fedgrass=HOSTILE, python=HOSTILE, torch=HOSTILE),
    )
    settings = msgspec.structs.replace(run.settings, thing_group=HOSTILE)
    costs = Costs(region=HOSTILE, by_round={1: {HOSTILE: 1.0}})
    return msgspec.structs.replace(run, settings=settings, costs=costs)


def unsafe(page: Element) -> list[str]:
    """What a browser could load or run, or would show as other than text."""
    found = [one.name for one in page.all() if one.name not in PLAIN]
    for one in page.all():
        for name, value in one.attributes.items():
            is_link = (
                one.name == "a"
                and name == "href"
                and re.match(r"#[a-z]+$|data:(text/csv|application/gzip)[;,]", value or "")
            )
            if (
                name.startswith("on")
                or name in ("src", "style", "srcdoc", "action")
                or (name == "href" and not is_link)
            ):
                found.append(f"{one.name} {name}={value}")
    return found


def test_hostile_texts_are_shown_as_texts() -> None:
    text = report(hostile_run())
    page = parsed(text)
    assert unsafe(page) == []
    assert not re.search(r"[^\n\x20-\x7e]", text), "what can't be seen is escaped"
    assert r"\x00\x1b[31m\u202egnp.exe\u2066" in page.section("failures").text
    assert "<script>alert(1)</script>" in page.first("h1").text
    assert len(list(page.all("script"))) == 0


def test_the_policy_lets_a_browser_use_this_style_and_nothing_else() -> None:
    page = parsed(report(run_of()))
    (policy,) = (one.attributes["content"] for one in page.all("meta") if one.attributes.get("http-equiv"))
    style = base64.b64encode(hashlib.sha256(page.first("style").text.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    assert page.first("style").text == STYLE.read_text()


def test_nothing_is_fetched() -> None:
    text = report(run_of())
    assert not re.search(r"url\(|@import|https?:", text)


def test_forty_devices_in_a_hundred_rounds_are_less_than_a_megabyte() -> None:
    assert len(report(with_costs(run_of(devices=40, rounds=100))).encode()) < 1_000_000


def test_long_names_and_many_metrics_are_less_than_a_megabyte_as_well() -> None:
    metrics = tuple(
        f"{'a' * 20}{letter}_{when}" for letter in string.ascii_lowercase[:5] for when in ("before", "after")
    )
    assert len(report(with_costs(run_of(40, 100, metrics, name="n" * 120))).encode()) < 1_000_000


def test_a_run_of_thousands_of_devices_and_rounds_has_bounded_pictures() -> None:
    run = run_of(devices=500, rounds=2)
    rounds = tuple(line(number, 1000.0 + number, {"train": 1.0}) for number in range(1, 3001))
    page = parsed(report(msgspec.structs.replace(run, rounds=rounds)))
    assert len(page.section("devices").of_class("bar")) == 60
    assert len(page.section("participation").of_class("bar")) == 60
    assert len(page.section("time").table("Every round's time")) == 201
    assert "440 faster devices left out" in page.section("devices").text


def test_the_same_records_give_the_same_bytes() -> None:
    assert report(with_costs(run_of())) == report(with_costs(run_of()))


def test_pictures_have_tables_and_texts_for_who_can_not_see_them() -> None:
    page = parsed(report(with_costs(run_of())))
    for svg in page.all("svg"):
        told = svg.attributes.get("aria-hidden") == "true" or svg.attributes.get("aria-label")
        assert told, svg.attributes
    for section in page.all("section"):
        assert not list(section.all("figure")) or list(section.all("details"))
    for scrolled in page.of_class("scroll"):
        assert (scrolled.attributes["tabindex"], scrolled.attributes["role"]) == ("0", "region")
        assert scrolled.attributes["aria-label"]
    for table in page.all("table"):
        assert table.first("caption").text
        assert all(cell.attributes.get("scope") in ("row", "col") for cell in table.all("th"))


numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=30)
measured = st.dictionaries(texts.map(lambda text: f"{text}_after"), st.none() | numbers, max_size=3)
lines = st.builds(
    RoundLine,
    round=st.integers(1, 99),
    status=st.sampled_from(["closed", "aborted"]),
    reason=st.none() | texts,
    opened_at=numbers,
    ended_at=numbers,
    round_s=numbers,
    split=st.dictionaries(texts | st.just("train"), numbers, max_size=3),
    training_s=numbers,
    cohort=st.integers(0, 2000),
    target=st.integers(0, 2000),
    quorum=st.integers(0, 2000),
    metrics=measured,
    held_out=measured,
    warnings=st.lists(texts, max_size=2).map(tuple),
    learning_rate=numbers,
    bytes_down=st.integers(0, 2**63),
    bytes_up=st.integers(0, 2**63),
    model_sha256=texts,
)
clients = st.builds(
    ClientRow,
    round=st.integers(1, 99),
    client=texts,
    reason=st.none() | texts,
    examples=st.none() | st.integers(0, 2**63),
    bytes=st.none() | st.integers(0, 2**63),
    turnaround_s=st.none() | numbers,
    wait_s=st.none() | numbers,
    download_s=st.none() | numbers,
    train_s=st.none() | numbers,
    upload_s=st.none() | numbers,
    metrics=measured,
)


@hypothesis.settings(max_examples=40)
@given(
    st.lists(lines, max_size=4, unique_by=lambda one: one.round).map(
        lambda found: sorted(found, key=lambda one: one.round)
    ),
    st.lists(clients, max_size=4),
    numbers,
)
def test_whatever_the_records_say_there_is_a_page(found: list[RoundLine], rows: list[ClientRow], when: float) -> None:
    page = parsed(report(of_records(found, rows, written_at=when)))
    assert unsafe(page) == []
    for path in page.all("path"):
        assert re.fullmatch(r"([MLhvz -]|\d)*", path.attributes["d"] or "")
