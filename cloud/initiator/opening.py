"""Opening a round: claim it, tell its cohort, set its deadline. Every step may run twice or be cut off anywhere."""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import wait

import msgspec

from cloud.initiator.fleet import candidates
from cloud.initiator.readiness import are_ready
from cloud.initiator.round_plan import assignment_in, handed_on, planned
from cloud.initiator.selection.cohort import NotEnoughClientsError, select
from cloud.log_lines import about
from cloud.services import Services
from cloud.state.budget import over_budget
from cloud.state.carry_over import busy_after, carried_after, carrying_what_fits
from cloud.state.federations import UnknownFederationError
from cloud.state.records import Carried, CohortMember, FederationRecord, RoundRecord
from cloud.state.rounds import NotClaimedError
from cloud.state.settings_history import ModelFile, changes_averaging, lacking
from protocol import names
from protocol.messages import CheckRound, OpenRound, RoundCounts, RoundNotice

_log = logging.getLogger(__name__)


def open_round(services: Services, request: OpenRound) -> None:
    """Open the round asked for, or repair it if an earlier attempt was cut off before all were told.

    A request that came too early is sent again; one for a round that can't be next any more changes nothing. A pause
    keeps a round from being opened, but not from being repaired.
    """
    now, asked = time.time(), about(request.federation, request.round)
    try:
        federation = services.federations.get(request.federation)
    except UnknownFederationError:
        _log.warning("not opened: the federation is gone", extra=asked)
        return
    if federation.life != request.life:
        _log.warning(
            "not opened: it was asked for in another life, %r, and this is %r",
            request.life,
            federation.life,
            extra=asked,
        )
        return
    if federation.status == "paused" and federation.round == request.round - 1:
        _repair(services, federation, request.round)
        return
    if federation.status != "running" or federation.round != request.round - 1:
        _log.info("not opened: the federation is %s and at round %d", federation.status, federation.round, extra=asked)
        return
    if request.round > federation.settings.rounds:  # fewer than when the round before opened
        services.federations.change_status(federation.federation, "finished", ("running",))
        return
    over = over_budget(federation.settings.stop, federation.spent_usd, federation.round_usd)
    if over:  # by an operator's change: when the last round ended, it was not
        services.federations.stop(federation, over)
        return
    earliest = max(request.not_before, federation.next_at)
    if earliest > now and not are_ready(services, federation, now):
        services.notices.ask_for_round(msgspec.structs.replace(request, not_before=earliest), now)
        return
    settings = federation.settings
    group = settings.thing_group
    listing = None if group is None else services.parallel.submit(services.groups.members, group)
    busy, carried = _handed_over(services, federation)
    expelled = frozenset(federation.expelled)

    def takes_part(thing: str) -> bool:
        """One may have said hello before there was the federation, or have left the group since, or have been
        expelled."""
        return thing not in expelled and (listing is None or thing in listing.result())

    busy = [member for member in busy if takes_part(member.thing)]
    found = candidates(services, federation, takes_part, [member.thing for member in busy], now)
    carried = tuple(update for update in carried if takes_part(update.thing))
    try:
        expiring = [client for client in found.clients if client.expires_at is not None]
        list(services.parallel.map(services.clients.keep, expiring))
        choose = services.policy(settings, "choose_clients")
        selection = settings.selection_in(request.round)
        cohort = select(found.clients, selection, request.round, choose, busy, found.known, settings.averaging)
    except NotEnoughClientsError as error:
        _log.warning("%s; the next hello tries again", error, extra=asked)
        services.federations.set_waiting(federation.federation, True)
        return
    record = planned(federation, found.known, cohort, carried, _lacking(services, federation), now)
    record = carrying_what_fits(record)
    if len(record.carried) < len(carried):
        _log.warning(
            "carries %d of %d updates over: there is no room for more", len(record.carried), len(carried), extra=asked
        )
    try:
        services.rounds.claim(record)
    except NotClaimedError:
        if not _repair(services, federation, request.round) and _has_changed(services, federation):
            services.notices.ask_for_round(request, now)
    else:
        _announce(services, federation, record)


def _lacking(services: Services, federation: FederationRecord) -> tuple[ModelFile, ...]:
    """What there is none of for the present model, since the averaging was another when it was made, or a client was
    forgotten."""
    made_in = names.parse_model_key(federation.model.key).round
    forgotten: tuple[ModelFile, ...] = ("last_updates",) if 0 < made_in <= federation.forgot_in else ()
    if made_in == 0 or not changes_averaging(federation.changes):
        return forgotten
    maker = services.opened_round(federation.federation, federation.life, made_in)
    made_by = None if maker is None else maker.settings.averaging
    return (*lacking(federation.settings.averaging, made_by), *forgotten)


def _has_changed(services: Services, federation: FederationRecord) -> bool:
    """Whether a federation is another by now: an operator has changed its settings, say, while a round was planned."""
    try:
        return services.federations.get(federation.federation) != federation
    except UnknownFederationError:
        return True


def _repair(services: Services, federation: FederationRecord, round_number: int) -> bool:
    """Tell all of a round that is open, if an earlier attempt was cut off before they were told. Returns whether there
    is such a round."""
    record = services.opened_round(federation.federation, federation.life, round_number)
    if record is None:
        _log.info("not opened: it is not next", extra=about(federation.federation, round_number))
        return False
    if record.status == "open" and record.notified_at is None:
        _log.warning("was not fully opened: repairing", extra=about(record.federation, record.round))
        _announce(services, federation, record)
    return True


def _handed_over(
    services: Services, federation: FederationRecord
) -> tuple[Sequence[CohortMember], tuple[Carried, ...]]:
    """The clients that are busy since the round before, and the updates that it could not use."""
    if not federation.settings.carries_over:
        return (), ()
    before = services.opened_round(federation.federation, federation.life, federation.round)
    if before is None:
        return (), ()  # this is the first round
    responses = services.rounds.responses(before.federation, before.round)
    busy = busy_after(before, responses)
    if not handed_on(before, federation):
        # What they change is another model, if this one was rolled back to.
        services.notices.withdraw(before.federation, before.life, [member.thing for member in busy], before.round)
        return (), ()
    if before.notified_at is None:  # whoever opened it was cut off, or is still at it
        untold = [member.thing for member in busy if member.assigned_in == before.round]
        services.notices.assign(before.federation, untold, assignment_in(before))
    return busy, carried_after(before, responses)


def _announce(services: Services, federation: FederationRecord, record: RoundRecord) -> None:
    now = time.time()
    check = CheckRound(federation=record.federation, life=record.life, round=record.round, at=record.deadline)
    notice = RoundNotice(
        federation=record.federation,
        life=record.life,
        round=record.round,
        state="open",
        model=record.base,
        counts=RoundCounts(cohort=len(record.cohort)),
        at=now,
    )
    others = [
        services.parallel.submit(services.notices.ask_for_check, check, now),
        services.parallel.submit(services.notices.publish, notice),
    ]
    if federation.waiting:
        others.append(services.parallel.submit(services.federations.set_waiting, record.federation, False))
    selected = [member.thing for member in record.cohort if member.assigned_in is None]
    notified = services.notices.assign(record.federation, selected, assignment_in(record))
    wait(others)
    for other in others:
        other.result()
    services.rounds.set_notified(record, notified, time.time())
    _log.info(
        "open: cohort=%d notified=%d target=%d quorum=%d",
        len(record.cohort),
        len(notified),
        record.target,
        record.quorum,
        extra=about(record.federation, record.round),
    )
