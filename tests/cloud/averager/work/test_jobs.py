"""cloud/averager/work/jobs.py and outputs.py: the jobs of a round, in S3, against the same in memory."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cloud.averager.work.file_names import key_of
from cloud.averager.work.inputs import Inputs, gather
from cloud.averager.work.jobs import Averager
from cloud.averager.work.model_files import read_back
from cloud.services import Services
from cloud.settings import Averaging, FedYogi
from cloud.state.models import MissingUploadError, Models
from cloud.state.records import ResponseRecord, RoundRecord, Stage, Work
from cloud.state.rounds import Responses
from operations.deployment import Deployment
from protocol import names
from protocol.messages import ModelReference, Report, decode
from protocol.tensors import parse_header
from sandbox.embedded_aws import EmbeddedAws
from tests.cloud.averaged import round_of
from tests.cloud.averaging.test_averaging import mixed_model, updates_to
from tests.cloud.examples import federation, round_record

PART_BYTES = 450
CLIENTS = 70


@pytest.fixture
def services(aws: EmbeddedAws, deployed: Deployment) -> Iterator[Services]:
    """As much of the functions' services as averaging takes, with parts of a size that cuts a small model into many."""
    none: Any = None
    with ThreadPoolExecutor(16) as parallel:
        yield Services(
            federations=none,
            clients=none,
            groups=none,
            rounds=none,
            models=Models(aws.client("s3"), deployed.bucket),
            notices=none,
            parallel=parallel,
            calls=Counter(),
            waited_s={},
            package=Path(),
            part_bytes=PART_BYTES,
        )


class Stored:
    """A round whose updates lie in S3, and the same in memory."""

    def __init__(self, services: Services, name: str, settings: Averaging, clients: int = CLIENTS) -> None:
        self.services = services
        base = mixed_model()
        reference = services.models.put_new(names.model_key(name, 0), base)
        updates = updates_to(base, clients, base=reference.sha256)
        self.record: RoundRecord = msgspec.structs.replace(
            round_record(*(f"t{i:03d}" for i in range(clients))),
            federation=name,
            status="averaging",
            settings=msgspec.structs.replace(federation(), averaging=settings),
            base=reference,
            accepted=clients,
        )
        self.responses = Responses(accepted=tuple(self.response_of(update) for update in updates))
        self.in_memory = round_of(base, updates, settings, part_bytes=PART_BYTES)

    def response_of(self, update: bytes) -> ResponseRecord:
        header = parse_header(update, len(update))
        report = decode(header.message, Report)
        # Where S3 tells no one of it: there is no such federation, and the deployed averager would delete it.
        key = f"elsewhere/{self.record.federation}/{self.record.round}/{report.thing}"
        self.services.models.put_partial(key, update)
        return ResponseRecord(
            thing=report.thing,
            key=key,
            state="accepted",
            arrived_at=1.0,
            inspected_at=1.0,
            data_start=header.length,
            norm=1.0,
            report=report,
        )

    @property
    def inputs(self) -> Inputs:
        return gather(self.services, self.record, self.responses)

    def file(self, file: Any) -> bytes:
        return self.services.models.fetch(key_of(file, self.record, self.record.round)).data

    def work_off(self, stages: tuple[Stage, ...], shards: int, groups: int = 1) -> ModelReference:
        """Do all jobs, each by an invocation of its own; the last job first, and the first one twice."""
        averager = Averager(self.services, self.inputs)
        uploads = averager.begin_uploads()
        work = Work(stages=stages, shards=shards, groups=groups, uploads=uploads)
        while work.present is not None:
            for job in (*reversed(work.open_jobs), 0):
                Averager(self.services, self.inputs).do_job(work, job)
            work = msgspec.structs.replace(work, stage=work.stage + 1)
        averager.complete_uploads(uploads)
        averager.complete_uploads(uploads)  # doing it again is harmless
        return read_back(self.services, self.record, self.inputs.grid)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("all-weighted", Averaging(optimizer=FedYogi(), ema=0.5)),
        ("all-median", Averaging(rule="median")),
        ("all-trimmed", Averaging(rule="trimmed_mean", trim=0.3)),
    ],
)
def test_one_invocation_writes_what_is_averaged(services: Services, name: str, settings: Averaging) -> None:
    stored = Stored(services, name, settings, clients=9)
    reference = Averager(services, stored.inputs).do_all()
    expected = stored.in_memory.average()
    assert {file: stored.file(file) for file in expected} == expected
    assert services.models.get(reference) == expected["model"]
    assert len(stored.inputs.grid.parts) > 3


def test_time_that_averaging_waits_for_s3_is_told_by_what_for(services: Services) -> None:
    stored = Stored(services, "waiting", Averaging(), clients=9)
    services.waited_s.clear()
    started = time.perf_counter()
    Averager(services, stored.inputs).do_all()
    took = time.perf_counter() - started
    assert services.waited_s.keys() == {"read", "write"}
    assert min(services.waited_s.values()) > 0
    assert sum(services.waited_s.values()) < took


@pytest.mark.parametrize(
    ("name", "stages", "shards", "groups"),
    [("shards", ("parts",), 3, 1), ("groups", ("sums", "parts"), 2, 2), ("one-group", ("sums", "parts"), 1, 1)],
)
def test_jobs_write_the_same_bytes(
    services: Services, name: str, stages: tuple[Stage, ...], shards: int, groups: int
) -> None:
    stored = Stored(services, f"jobs-{name}", Averaging(optimizer=FedYogi(), ema=0.5))
    reference = stored.work_off(stages, shards, groups)
    expected = stored.in_memory.average()
    assert {file: stored.file(file) for file in expected} == expected
    assert services.models.get(reference) == expected["model"]


@pytest.mark.parametrize("rule", ["krum", "multi_krum"])
def test_krum_chooses_the_same_clients_in_shards(services: Services, rule: Any) -> None:
    settings = Averaging(rule=rule, byzantine=2)
    alone = Stored(services, f"alone-{rule.replace('_', '-')}", settings, clients=9)
    Averager(services, alone.inputs).do_all()
    shards = Stored(services, f"shards-{rule.replace('_', '-')}", settings, clients=9)
    shards.work_off(("distances", "parts"), 3)
    assert shards.file("model") == alone.file("model")
    everyone = Stored(services, f"mean-{rule.replace('_', '-')}", Averaging(rule="mean"), clients=9)
    Averager(services, everyone.inputs).do_all()
    assert everyone.file("model") != alone.file("model")


def test_a_second_round_goes_on_from_the_state_of_the_first(services: Services) -> None:
    stored = Stored(services, "second", Averaging(optimizer=FedYogi(), ema=0.5), clients=5)
    first = Averager(services, stored.inputs).do_all()
    before: Any = stored.in_memory.average()
    stored.record = msgspec.structs.replace(stored.record, base=first, round=2)
    updates = updates_to(before["model"], 5, base=first.sha256)
    for response, update in zip(stored.responses.accepted, updates, strict=True):
        services.models.put_partial(response.key or "", update)
    reports = [msgspec.structs.replace(r.report, base=first.sha256) for r in stored.responses.accepted if r.report]
    responses = zip(stored.responses.accepted, reports, strict=True)
    stored.responses = Responses(accepted=tuple(msgspec.structs.replace(r, report=report) for r, report in responses))
    Averager(services, stored.inputs).do_all()
    ages = {response.thing: 1 for response in stored.responses.accepted}
    expected = round_of(
        before["model"], updates, stored.in_memory.settings, part_bytes=PART_BYTES, before=before, ages=ages
    ).average()
    assert {file: services.models.fetch(key_of(file, stored.record, 2)).data for file in expected} == expected


def test_clients_last_updates_are_read_again_and_noted_once(services: Services) -> None:
    settings = Averaging(optimizer=FedYogi(), variance_reduction=True)
    stored = Stored(services, "recalling", settings)
    first = stored.work_off(("sums", "parts"), 2, 2)
    for _ in range(2):  # doing it again is harmless
        Averager(services, stored.inputs).note_last_updates()
    sent = {r.thing: services.models.fetch(r.key or "").data for r in stored.responses.accepted}
    before: Any = stored.in_memory.average()
    some = updates_to(before["model"], CLIENTS, base=first.sha256)[3:10]
    stored.record = msgspec.structs.replace(stored.record, base=first, round=2, accepted=len(some))
    stored.responses = Responses(accepted=tuple(stored.response_of(update) for update in some))
    recalled = stored.inputs.recalled
    assert recalled is not None
    assert [one.key for one in recalled.stored] == [f"elsewhere/recalling/1/{t}" for t in sorted(sent)[3:10]]
    stored.work_off(("sums", "parts"), 2, 2)
    assert stored.in_memory.recalled is not None
    expected = round_of(
        before["model"],
        some,
        settings,
        part_bytes=PART_BYTES,
        before=before,
        ages={response.thing: 1 for response in stored.responses.accepted},
        last=stored.in_memory.recalled.after,
        last_files=sent,
    ).average()
    assert {file: stored.file(file) for file in expected} == expected


def test_a_job_that_comes_after_the_end_finds_no_upload(services: Services) -> None:
    stored = Stored(services, "late", Averaging(), clients=3)
    averager = Averager(services, stored.inputs)
    uploads = averager.begin_uploads()
    work = Work(stages=("parts",), shards=1, uploads=uploads)
    services.models.give_up(key_of("model", stored.record, 1))
    with pytest.raises(MissingUploadError, match="late/models/00000001"):
        averager.do_job(work, 0)
    with pytest.raises(MissingUploadError):
        averager.complete_uploads(uploads)
