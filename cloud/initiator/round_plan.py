"""What a round is when it opens, and what its clients are asked to do: pure functions."""

from cloud.initiator.learning_rate import learning_rate_in, training_in
from cloud.settings import amount_of
from cloud.state.records import Carried, CohortMember, FederationRecord, RoundRecord
from cloud.state.settings_history import ModelFile
from protocol.messages import Assignment, assignment_version


def planned(
    federation: FederationRecord,
    clients: int,
    cohort: tuple[CohortMember, ...],
    carried: tuple[Carried, ...],
    lacking: tuple[ModelFile, ...],
    now: float,
) -> RoundRecord:
    """The next round of a federation, which had so many clients to select from. `lacking` is what there is none of for
    the present model."""
    settings = federation.settings
    wanted = min(len(cohort), amount_of(settings.selection.cohort, clients))
    return RoundRecord(
        federation=federation.federation,
        round=federation.round + 1,
        status="open",
        settings=settings,
        revision=federation.revision,
        base=federation.model,
        lacking=lacking,
        schema=federation.schema,
        learning_rate=learning_rate_in(settings, federation.round + 1),
        cohort=cohort,
        target=amount_of(settings.target, wanted),
        quorum=amount_of(settings.quorum, wanted),
        carried=carried,
        expelled=federation.expelled,
        life=federation.life,
        opened_at=now,
        deadline=now + settings.deadline_s,
        best=federation.best,
        average_s=federation.average_s,
        spent_usd=federation.spent_usd,
        round_usd=federation.round_usd,
    )


def assignment_in(record: RoundRecord) -> Assignment:
    """What each client is asked to do that a round selects."""
    training = training_in(record.settings, record.round)
    return Assignment(
        round=record.round,
        life=record.life,
        model=record.base.downloaded,
        v=assignment_version(training),
        training=training,
        encoding=record.settings.encoding,
        # Devices get the time of an extension, and that of the rounds in which a late update counts, from the start:
        # one that gave up at the deadline could not use it.
        deadline=record.opened_at + record.settings.training_s,
    )


def handed_on(before: RoundRecord, federation: FederationRecord) -> bool:
    """Whether what a round has left counts in the next one: what it changes is another model, if one was rolled back
    to."""
    return (before.model or before.base) == federation.model
