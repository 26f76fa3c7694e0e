"""Updates to rounds that never were, or were in another life of the federation."""

import logging
import time
from collections import defaultdict
from collections.abc import Sequence

from cloud.averager.responses.classification import newest_of
from cloud.averager.responses.messages import ArrivedUpdate, Response
from cloud.averager.responses.refusals import record_refused
from cloud.averager.responses.schemas import Schemas
from cloud.averager.responses.storage_accounting import Storage
from cloud.averager.responses.verdicts import refusal
from cloud.log_lines import about
from cloud.services import Services
from cloud.state.federations import UnknownFederationError
from cloud.state.records import FederationRecord, ResponseRecord

_log = logging.getLogger(__name__)

_NO_ROUND = 0
"""Updates to rounds that this life does not have are recorded with round 0, which is none."""


class Strays:
    """Records one stray per client, and none of unknown federations: a device could invent any number, and each record
    would stay."""

    def __init__(self, services: Services, schemas: Schemas, storage: Storage) -> None:
        self._services = services
        self._schemas = schemas
        self._storage = storage

    def record(self, federation: str, life: str, responses: Sequence[Response]) -> None:
        """Record responses to rounds of a life of a federation that this one does not have. Outcomes are left alone."""
        strays = [one for one in responses if isinstance(one, ArrivedUpdate)]
        try:
            present = self._services.federations.get(federation)
        except UnknownFederationError:
            for stray in strays:
                _log.warning("there is no such federation", extra=about(federation, thing=stray.thing))
                self._storage.discard(stray)
            return
        newest = newest_of(strays)
        self._storage.count(strays, newest)
        refused: dict[int, list[ResponseRecord]] = defaultdict(list)
        now = time.time()
        for stray in newest:
            place, reason = _NO_ROUND, f"unknown round {stray.name.round}"
            if life != present.life:
                reason = _of_another_life(life, present)
                if self._services.opened_round(federation, present.life, stray.name.round):
                    place = stray.name.round
            refused[place].append(refusal(stray, reason, now))
        for place, records in refused.items():
            record_refused(self._services, self._storage, federation, present.life, place, records)
        self._storage.refused_updates += len(newest)
        self._storage.discard_too_large(strays, self._schemas.limit_of(present))


def _of_another_life(life: str, present: FederationRecord) -> str:
    if not life:
        return (
            f"another life: it does not say that it is for this one, {present.life}: update com.fedgrass.Client on the "
            "device, unless it was made for an earlier federation of this name"
        )
    return (
        f"another life: it was made for an earlier federation of this name, {life}, not for this one, "
        f"{present.life or 'which is older than lives'}"
    )
