"""Who is doing what in a federation, as its requests to S3 tell: what faults wait for."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable

import msgspec

from protocol import names
from sandbox.gateway import Request

FIRST_PACE_S = 0.05
"""What a device needs from its download to its upload, before that was seen."""


class Work(msgspec.Struct):
    """What a device was last seen to do: it downloads the model of a round, trains, and uploads its update."""

    base: int
    downloaded_at: float
    uploaded: bool = False


class Traffic:
    """To be used in one event loop; but `models` and `current_round` may be read in any thread.

    Attributes:
        models: S3 key -> the round that made the model.
        uploaded: round -> the things whose updates were on their way to S3.
    """

    def __init__(self, federation: str, life: str, rounds: int, holder: Callable[[str], str | None]) -> None:
        """`holder` tells to which device an access key id was given."""
        self.models = {names.model_key(federation, number, life): number for number in range(rounds + 1)}
        self.uploaded: defaultdict[int, set[str]] = defaultdict(set)
        self._rounds = rounds
        self._holder = holder
        self._work: dict[str, Work] = {}
        self._pace_s: dict[str, float] = {}
        self._averaged = 0
        self._ended: frozenset[int] = frozenset()
        self._changed = asyncio.Event()

    @property
    def current_round(self) -> int:
        """The round after those that have ended, as far as is known."""
        return min(max(self._ended, default=0) + 1, self._rounds)

    def note_ends(self, ended: frozenset[int]) -> None:
        """These rounds have ended."""
        if ended != self._ended:
            self._ended = ended
            self._notify()

    def note_request(self, request: Request, key: str, refused: bool) -> None:
        """A request for an object has passed, or was refused."""
        now = asyncio.get_running_loop().time()
        model = self.models.get(key)
        if request.method == "GET" and model is not None and not refused:
            access_key_id = request.headers.get("authorization", "").partition("Credential=")[2].partition("/")[0]
            if (thing := self._holder(access_key_id)) is not None:
                self._work[thing] = Work(model, now)
        elif request.method == "PUT" and model is not None and not refused:
            self._averaged = model
        elif request.method == "PUT" and model is None:
            with contextlib.suppress(names.InvalidNameError):
                self._note_upload(names.parse_update_key(key), now)
        self._notify()

    async def midway(self, thing: str, number: int) -> Work:
        """Return when a device is half-way from its download to its upload, in this round or a later one."""
        while True:
            await self._until(lambda: self._is_training(thing, number))
            work = self._work[thing]
            half_s = self._pace_s.get(thing, FIRST_PACE_S) / 2
            await asyncio.sleep(work.downloaded_at + half_s - asyncio.get_running_loop().time())
            if self._work[thing] is work and not work.uploaded:
                return work

    async def updates_of(self, number: int, count: int) -> None:
        """Return when so many devices have begun to upload their updates of a round."""
        await self._until(lambda: len(self.uploaded[number]) >= count)

    async def model_of(self, number: int) -> None:
        """Return when a round's model is being written, or a later one's."""
        await self._until(lambda: self._averaged >= number)

    async def end_of(self, number: int) -> None:
        """Return when a round has ended."""
        await self._until(lambda: number in self._ended)

    def _is_training(self, thing: str, number: int) -> bool:
        work = self._work.get(thing)
        return work is not None and not work.uploaded and work.base >= number - 1

    def _note_upload(self, name: names.UpdateName, now: float) -> None:
        work = self._work.get(name.thing)
        if work is not None and not work.uploaded:
            work.uploaded = True
            self._pace_s[name.thing] = now - work.downloaded_at
        self.uploaded[name.round].add(name.thing)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()
