"""Expelling a device: from the rounds, by its name at once; from the bucket, whatever credentials it still has; and
from AWS IoT, by its certificate. And taking that back.

Each step stands on its own: what is done is not done again, and one that fails, for want of a right say, keeps none of
the others from being taken. What comes first works fastest.
"""

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from botocore.exceptions import ClientError

from cloud.state.records import FederationRecord, RoundRecord
from operations.control import Operations
from operations.deployment import Deployment
from operations.device_access import DeviceAccess
from operations.steps import Step, Steps, remains
from protocol import names
from protocol.messages import ExpelClient

_POLL_S = 0.2


class UnknownThingError(LookupError):
    """Neither AWS IoT nor a federation knows the thing."""


class Expulsion:
    """Of one thing, from all federations of a stack and from AWS IoT; or from the rounds of `federations` alone.

    `client` gives a boto3 client by its service's name. In a `rehearsal` nothing is done but said.

    Raises:
        InvalidNameError: no thing can have the name, or no federation one of these.
        UnknownFederationError: there is none of one of these names.
        UnknownThingError: see there.
    """

    def __init__(
        self,
        client: Callable[[str], Any],
        deployment: Deployment,
        thing: str,
        federations: Sequence[str] = (),
        *,
        rehearsal: bool = False,
        limit_s: float = 60.0,
    ) -> None:
        self._client = client
        self._deployment = deployment
        self._operations = Operations(client, deployment)
        self._thing = names.check_thing(thing)
        self._is_bounded = bool(federations)
        self._steps = Steps(rehearsal=rehearsal)
        self._limit_s = limit_s
        found = self._operations.federations
        bounds = dict.fromkeys(map(names.check_federation, federations))
        self._federations = [found.get(name) for name in bounds] if bounds else found.all()
        groups = {each.settings.thing_group for each in self._federations if each.settings.thing_group is not None}
        self._written: dict[str, FederationRecord] = {}
        self._access = DeviceAccess(client, deployment, thing, groups, self._steps)
        self._check_known()

    def expel(self) -> Iterator[Step]:
        """Take the steps, each when it is asked for."""
        open_rounds: list[RoundRecord] = []
        failed: list[Step] = []
        for federation in self._federations:
            yield self._steps.take(
                f"federation {federation.federation} takes no word or update of {self._thing}",
                self._thing in federation.expelled,
                functools.partial(self._set_expelled, federation, expelled=True),
                "run this again",
            )
            try:
                open_rounds += self._rounds_without(federation)
            except ClientError as error:
                what = f"nothing of {self._thing} counts in a round of {federation.federation} that is open"
                failed.append(remains(what, error, f"fedgrass abort-round {federation.federation}"))
        if not self._is_bounded:
            yield from self._access.deny()
            yield from self._access.deactivate()
            yield from self._access.leave_groups()
        yield from failed
        yield from map(self._ended_in, open_rounds)

    def readmit(self) -> Iterator[Step]:
        """Take the steps back. What a thing was expelled from with `federations` comes back with them alone."""
        if not self._is_bounded:
            is_listed = any(self._thing in federation.expelled for federation in self._federations)
            yield from self._access.activate(is_expelled=is_listed)
            yield from self._access.allow()
        for federation in self._federations:
            yield self._steps.take(
                f"federation {federation.federation} takes {self._thing} from its next round on",
                self._thing not in federation.expelled,
                functools.partial(self._set_expelled, federation, expelled=False),
                "run this again",
            )
        if not self._is_bounded:
            yield from self._access.groups_to_join()

    def _check_known(self) -> None:
        if any(self._thing in federation.expelled for federation in self._federations):
            return
        iot = self._client("iot")
        try:
            iot.describe_thing(thingName=self._thing)
        except iot.exceptions.ResourceNotFoundException:
            names_of_all = [federation.federation for federation in self._federations]
            if self._operations.clients.of_thing(self._thing, names_of_all):
                return
            raise UnknownThingError(
                f"there is no thing {self._thing!r} in AWS IoT, and no client of that name: see `aws iot list-things`"
            ) from None
        except ClientError:
            pass  # who may not ask may still do a part of it: each step tells

    # ---- Rounds

    def _set_expelled(self, seen: FederationRecord, *, expelled: bool) -> None:
        federations = self._operations.federations
        self._written[seen.federation] = federations.set_expelled(seen, self._thing, expelled=expelled)

    def _rounds_without(self, before: FederationRecord) -> Iterator[RoundRecord]:
        """Have nothing of the thing count in the round that is under way, and return it, after those that have ended
        since `before`; or have one opened anew that could not open, as it was made up when its federation had not
        expelled the thing yet."""
        federation = self._written.get(before.federation) or self._operations.federations.get(before.federation)
        name, life = federation.federation, federation.life
        if life == before.life:
            for ended in range(before.round + 1, federation.round + 1):
                yield self._operations.rounds.of(name, life, ended)
        record = self._operations.under_way(federation)
        if record is None:
            now = time.time()
            if federation.status == "running" and federation.next_at <= now and not self._steps.rehearsal:
                self._operations.notices.ask_for_round(federation.next_round, now)
            return
        if record.status == "open" and self._thing not in record.expelled and not self._steps.rehearsal:
            self._operations.notices.ask_for_expulsion(
                ExpelClient(federation=name, life=life, round=record.round, thing=self._thing)
            )
        yield record

    def _ended_in(self, record: RoundRecord) -> Step:
        """What came of it in a round that was under way."""
        what = f"nothing of {self._thing} counts in round {record.round} of {record.federation}"
        if self._thing in record.expelled:
            return Step(what=what, outcome="already so")
        if self._steps.rehearsal:
            return Step(what=what, outcome="to do")
        deadline = time.monotonic() + self._limit_s
        while record.status == "open" and self._thing not in record.expelled:
            if time.monotonic() > deadline:
                note = f"the averager has not heard of it in {self._limit_s:.0f} s: look at its log, and run this again"
                return Step(what=what, outcome="remains", note=note)
            time.sleep(_POLL_S)
            record = self._operations.rounds.of(record.federation, record.life, record.round)
        if self._thing in record.expelled or not self._may_count_in(record):
            return Step(what=what, outcome="done")
        note = (
            f"it is {record.status} already, with its update if it had sent one: to be rid of that, fedgrass pause "
            f"{record.federation}, fedgrass abort-round {record.federation} if a later one is open, and fedgrass "
            f"rollback {record.federation} --to {record.round - 1}, or to the last one before that made a model"
        )
        return Step(what=what, outcome="remains", note=note)

    def _may_count_in(self, record: RoundRecord) -> bool:
        return record.status != "aborted" and (
            any(member.thing == self._thing for member in record.cohort)
            or any(update.thing == self._thing for update in record.carried)
        )
