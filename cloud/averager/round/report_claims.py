"""What a client's report says beside its update, as far as selection uses it: pure functions of a device's word."""

import math

import msgspec

from cloud.state.clients import ClientHistory
from protocol.messages import Report

LABEL = "label_"
"""So begin the names of a task's own numbers (`describe`) that say how many examples it has of a label."""

MAX_STRATUM = 64
"""A label with a longer name is none, nor is one that can't be shown."""


def with_claims(history: ClientHistory, report: Report, turnaround_s: float) -> ClientHistory:
    """A client's history after a round, with what its report says; its turnaround was that."""
    download_s, train_s, upload_s = phases_of(report, turnaround_s)
    return msgspec.structs.replace(
        history,
        loss=loss_of(report),
        stratum=stratum_of(report),
        download_s=download_s,
        train_s=train_s,
        upload_s=upload_s,
    )


def loss_of(report: Report) -> float | None:
    """The loss on the client's training data, or else that of the global model on its held-out data; None if it tells
    neither, or one that is not finite or is below 0."""
    losses = report.after.get("train_loss"), report.before.get("loss")
    return next((loss for loss in losses if loss is not None and 0 <= loss < math.inf), None)


def stratum_of(report: Report) -> str | None:
    """The label that the client has most examples of, if its task tells of labels; of equals the first by name."""
    found = [
        (-count, name.removeprefix(LABEL))
        for name, count in report.describe.items()
        if name.startswith(LABEL) and count is not None and 0 < count < math.inf
    ]
    stratum = min(found)[1] if found else ""
    return stratum if 0 < len(stratum) <= MAX_STRATUM and stratum.isprintable() else None


def phases_of(report: Report, turnaround_s: float) -> tuple[float, float, float]:
    """How a turnaround is split into download, training with evaluation, and the rest, which is the upload and what it
    took until the device heard of its assignment. The first two are by the device's clock, which may be anything: they
    are no longer than all of it."""
    timings = report.timings
    download_s = _within(timings.downloaded_at - timings.accepted_at, turnaround_s)
    train_s = _within(timings.uploading_at - timings.downloaded_at, turnaround_s - download_s)
    return download_s, train_s, turnaround_s - download_s - train_s


def _within(seconds: float, most: float) -> float:
    return min(seconds, most) if seconds > 0 else 0.0
