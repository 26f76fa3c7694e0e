"""Asking components whether they may be updated: SubscribeToComponentUpdates and DeferComponentUpdate."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)

ANSWER_LIMIT_S = 60.0

Notify = Callable[[dict[str, Any]], None]


class Updates:
    """The components of one device that want to be asked, and their answers."""

    def __init__(self, thing: str) -> None:
        self._thing = thing
        self._listeners: dict[str, Notify] = {}
        self._answer: asyncio.Future[float] | None = None

    def subscribe(self, component: str, notify: Notify) -> Callable[[], None]:
        """Have a component asked before it is updated; the result ends that."""
        self._listeners[component] = notify
        return lambda: self._listeners.pop(component, None) and None

    def defer(self, component: str, deployment: str, recheck_after_s: float) -> bool:
        """Take a component's answer: seconds to wait, or 0 to go on. False if it isn't subscribed."""
        if component not in self._listeners:
            return False
        logger.info("%s: %s answers %s s to deployment %s", self._thing, component, recheck_after_s, deployment)
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(recheck_after_s)
        return True

    async def ask(self, deployment: str, answer_limit_s: float = ANSWER_LIMIT_S) -> None:
        """Return when nobody objects any more to a deployment, or has not answered in time."""
        for notify in list(self._listeners.values()):
            pause_s = -1.0
            while pause_s != 0.0:
                self._answer = asyncio.get_running_loop().create_future()
                notify({"preUpdateEvent": {"deploymentId": deployment, "isGgcRestarting": False}})
                try:
                    async with asyncio.timeout(answer_limit_s):
                        pause_s = await self._answer
                except TimeoutError:
                    break
                await asyncio.sleep(pause_s)
