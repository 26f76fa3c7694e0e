"""What a round is when it opens, and what its clients are asked to do: pure functions."""

from cloud.initiator.learning_rate import learning_rate_in, training_in
from cloud.settings import Amount, amount_of
from cloud.state.records import Carried, CohortMember, FederationRecord, RoundRecord
from cloud.state.settings_history import ModelFile
from protocol.messages import Assignment, Average, Evaluate, Training, assignment_version


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
    evaluates = settings.evaluation.is_due(federation.round + 1)
    trainers = amount_of(settings.selection.cohort, clients)

    def updates(amount: Amount) -> int:
        """A round that evaluates waits for as large a part of its cohort as one that trains."""
        if evaluates:
            return -(-len(cohort) * amount_of(amount, trainers) // trainers)
        return amount_of(amount, min(len(cohort), trainers))

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
        evaluates=evaluates,
        cohort=cohort,
        target=updates(settings.target),
        quorum=updates(settings.quorum),
        carried=carried,
        expelled=federation.expelled,
        life=federation.life,
        opened_at=now,
        deadline=now + settings.deadline_s,
        best=federation.best,
        evaluation=federation.evaluation,
        average_s=federation.average_s,
        spent_usd=federation.spent_usd,
        round_usd=federation.round_usd,
    )


def assignment_in(record: RoundRecord) -> Assignment:
    """What each client is asked to do that a round selects."""
    training, evaluate = training_in(record.settings, record.round), None
    if record.evaluates:
        average = record.base.average
        evaluate = Evaluate(average=Average(sha256=average.sha256, bytes=average.bytes) if average else None)
        # The rest says how to train, and a shadow has no room for it.
        training = Training(batch_size=training.batch_size, learning_rate=training.learning_rate, seed=training.seed)
    return Assignment(
        round=record.round,
        life=record.life,
        model=record.base.downloaded,
        v=assignment_version(training, evaluate),
        training=training,
        evaluate=evaluate,
        encoding=record.settings.encoding,
        # Devices get the time of an extension, and that of the rounds in which a late update counts, from the start:
        # one that gave up at the deadline could not use it.
        deadline=record.opened_at + record.settings.training_s,
    )


def handed_on(before: RoundRecord, federation: FederationRecord) -> bool:
    """Whether what a round has left counts in the next one: what it changes is another model, if one was rolled back
    to."""
    return (before.model or before.base) == federation.model
