"""The sections, in their order: what a report has, and what a page that goes on updates one by one."""

from collections.abc import Callable
from typing import NamedTuple

import htpy as h

from reporting.pictures.recorded_run import RecordedRun
from reporting.pictures.sections.data import data
from reporting.pictures.sections.devices import devices
from reporting.pictures.sections.failures import failures
from reporting.pictures.sections.fairness import fairness
from reporting.pictures.sections.learning import learning
from reporting.pictures.sections.overview import overview
from reporting.pictures.sections.participation import participation
from reporting.pictures.sections.settings import settings
from reporting.pictures.sections.time import time
from reporting.pictures.sections.traffic import traffic


class Section(NamedTuple):
    """A part of a page, with the `name` by which it is found there."""

    name: str
    title: str
    content: Callable[[RecordedRun], h.Node]

    def of(self, run: RecordedRun) -> h.Element:
        """The section of a run."""
        heading = f"{self.name}-title"
        return h.section(id=self.name, aria_labelledby=heading)[h.h2(id=heading)[self.title], self.content(run)]


SECTIONS = (
    Section("overview", "Overview", overview),
    Section("learning", "Learning", learning),
    Section("time", "Time", time),
    Section("devices", "Devices", devices),
    Section("fairness", "Spread across devices", fairness),
    Section("participation", "Participation", participation),
    Section("traffic", "Bytes and dollars", traffic),
    Section("failures", "Failures", failures),
    Section("settings", "Settings and versions", settings),
    Section("data", "Data", data),
)
