"""What a round averages, and which models it was trained from: pure functions of what is on record."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from cloud.averaging.accepted_updates import AcceptedUpdate, S3Object
from cloud.averaging.last_updates import LastUpdates
from cloud.state.records import CorruptRecordError, ResponseRecord, RoundRecord
from cloud.state.rounds import Responses
from protocol.encodings import UpdateLayout
from protocol.messages import Report


def counting_responses(
    record: RoundRecord, responses: Responses, responses_to: Callable[[int], Responses]
) -> list[ResponseRecord]:
    """The responses whose updates a round averages, in the order of the things' names: a client's newer update takes
    the place of a carried one. `responses_to` gives those of an earlier round."""
    counting = {response.thing: response for response in responses.accepted}
    for round_number in dict.fromkeys(one.round for one in record.carried):
        carried = {one.thing for one in record.carried if one.round == round_number}.difference(record.expelled)
        for response in responses_to(round_number).accepted:
            if response.thing in carried:
                counting.setdefault(response.thing, response)
    return [counting[thing] for thing in sorted(counting)]


def accepted_report(record: RoundRecord, response: ResponseRecord) -> Report:
    """The report of an update that a round averages.

    Raises:
        CorruptRecordError: it has none.
    """
    if response.report is None:
        raise CorruptRecordError(
            f"an accepted response of {response.thing} that round {record.round} of {record.federation!r} averages has "
            "no report"
        )
    return response.report


def inclusions_of(record: RoundRecord) -> dict[tuple[str, int], float]:
    """With which probability the clients were selected whose updates a round averages, by their things and the rounds
    of their assignments.

    If rounds do not wait, a client that is drawn with the probability p can't be drawn again while it trains, for as
    many rounds as its update is late by: one update comes of 1/p + age rounds, and p is the inverse of that. Else the
    slower a client is the less it would count. Of draws of equals no probabilities are known.
    """
    found = {(one.thing, record.round - one.age): one.inclusion for one in record.carried}
    found |= {(one.thing, one.assigned_in or record.round): one.inclusion for one in record.cohort}
    if not record.settings.max_staleness or all(inclusion is None for inclusion in found.values()):
        return {key: inclusion or 1.0 for key, inclusion in found.items()}
    return {key: 1 / (1 / (inclusion or 1.0) + record.round - key[1]) for key, inclusion in found.items()}


def accepted_updates(
    record: RoundRecord, counting: Iterable[ResponseRecord], stored: Callable[[ResponseRecord], S3Object]
) -> Iterator[AcceptedUpdate]:
    """The updates that a round averages, each of the file that it is `stored` in."""
    inclusions = inclusions_of(record)
    for response in counting:
        report = accepted_report(record, response)
        yield AcceptedUpdate(
            thing=response.thing,
            report=report,
            norm=response.norm or 0.0,
            integer_change=response.integer_change,
            stored=stored(response),
            arrived_at=response.arrived_at,
            # The round of its assignment, as inspection has checked: that in which it was accepted may be a later one.
            age=record.round - report.round,
            inclusion=inclusions.get((response.thing, report.round), 1.0),
        )


def last_updates_for(record: RoundRecord, before: LastUpdates | None) -> LastUpdates:
    """Each client's last update, as far as a round may use them that begins with a model that has these, if any."""
    encoding, rule = record.settings.encoding, record.settings.averaging.rule
    none = LastUpdates(encoding=encoding, rule=rule)
    return (before or none).of_use(encoding, rule, record.expelled, record.averaging_at or record.opened_at)


def other_bases(record: RoundRecord, sources: Sequence[AcceptedUpdate], layout: UpdateLayout) -> dict[str, int]:
    """The models, beside the present one, that must be known to average these updates: SHA-256 -> the round that sent
    it to its clients."""
    if layout.n_float == layout.n_parameters and not layout.n_int:
        return {}
    present = record.base.downloaded.sha256
    return {source.report.base: source.report.round for source in sources if source.report.base != present}


def with_bases(sources: Sequence[AcceptedUpdate], places: Mapping[str, int]) -> tuple[AcceptedUpdate, ...]:
    """The updates, each with the place of its base: that of the model with this SHA-256."""
    return tuple(msgspec.structs.replace(source, base=places.get(source.report.base)) for source in sources)
