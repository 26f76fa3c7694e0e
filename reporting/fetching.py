"""A federation's rounds, from its tables and its bucket into a run folder: those that are not there yet."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec

from cloud.state.models import CorruptModelError, MissingObjectError, Models
from cloud.state.records import CorruptRecordError, FederationRecord, RoundRecord
from cloud.state.rounds import Responses, Rounds, UnknownRoundError
from reporting.records import RoundLine, Summary
from reporting.run_folder import NoRunFolderError, read_summary
from reporting.run_writer import RunWriter
from reporting.tracking import check_installed, tracking
from reporting.tracking_process import TrackerName

_PARALLEL = 8
"""So many rounds are read at a time, and no more are in memory: one with 1,500 clients takes some MB."""

RoundsOf = Callable[[Counter[str]], Rounds]
"""The rounds of a deployment, for one thread; the argument counts records that can't be read, by kind."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of a round: its record and responses, or why there is none. `left_out` are responses that can't be
    read, by kind of record."""

    round: int
    record: RoundRecord | None = None
    responses: Responses = Responses()
    problem: str | None = None
    left_out: dict[str, int] = {}


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: how many rounds are new in the folder, why others and the model are not, what there is now."""

    new: int
    problems: tuple[str, ...]
    summary: Summary


def fetch(
    federation: FederationRecord,
    rounds_of: RoundsOf,
    models: Models,
    path: Path,
    *,
    first: int = 1,
    last: int | None = None,
    track: TrackerName | None = None,
    look: Callable[[RoundLine], None] = lambda _: None,
    warn: Callable[[str], None] = lambda _: None,
) -> Fetched:
    """Bring a run folder up to date with a federation: with its settings, its rounds from `first` to `last` that have
    ended, and its current model. Rounds before the last one in the folder are not looked at. What can't be read is left
    out and told. `look` is called with each new round, and the tracker told of it; `warn` if that fails.

    Raises:
        MissingTrackerError: see there.
        RunFolderExistsError, RunFolderInUseError, RunFolderWriteError, CorruptRunFolderError: see there.
    """
    check_installed(track)
    new, problems, unreadable = 0, [], []
    with _writer(federation, path) as writer:
        wanted = range(max(first, writer.last_round + 1), min(federation.round, last or federation.round) + 1)
        left_out = Counter(writer.summary.left_out)
        with tracking(track, path, writer.summary, federation.settings, warn) as tell:
            for found in read_rounds(rounds_of, federation, wanted):
                if found.record is None:
                    problems.append(found.problem or "")
                    unreadable.append(found.round)
                elif line := writer.add_round(found.record, found.responses):
                    left_out.update(found.left_out)
                    new += 1
                    tell(line)
                    look(line)
        # Those after the last round in the folder are tried again the next time.
        left_out[RoundRecord.__name__] += sum(number < writer.last_round for number in unreadable)
        writer.leave_out(+left_out)
        if writer.summary.model is None or writer.summary.model.sha256 != federation.model.sha256:
            try:
                writer.set_model(models.get(federation.model))
            except (MissingObjectError, CorruptModelError) as error:
                problems.append(str(error))
        summary = writer.finish(federation.status)
    return Fetched(new=new, problems=tuple(problems), summary=summary)


def _writer(federation: FederationRecord, path: Path) -> RunWriter:
    try:
        read_summary(path)
    except NoRunFolderError:
        return RunWriter.create(path, source="aws", settings=federation.settings, life=federation.life)
    return RunWriter.resume(path, source="aws", settings=federation.settings, life=federation.life)


def read_rounds(rounds_of: RoundsOf, federation: FederationRecord, numbers: Iterable[int]) -> Iterator[Found]:
    """These rounds of a federation, in their order."""

    def read(number: int) -> Found:
        left_out: Counter[str] = Counter()
        rounds = rounds_of(left_out)
        try:
            record = rounds.of(federation.federation, federation.life, number)
        except (UnknownRoundError, CorruptRecordError) as error:
            return Found(round=number, problem=str(error))
        if record.closed_at is None:
            return Found(round=number, problem=f"round {number} of {record.federation!r} does not say when it ended")
        responses = rounds.responses(federation.federation, number)
        return Found(round=number, record=record, responses=responses, left_out=dict(left_out))

    under_way: deque[Future[Found]] = deque()
    with ThreadPoolExecutor(_PARALLEL) as pool:
        try:
            for number in numbers:
                under_way.append(pool.submit(read, number))
                if len(under_way) == _PARALLEL:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
