"""With what it was run."""

import htpy as h

from reporting import settings_file
from reporting.cells import printable
from reporting.pictures import formats
from reporting.pictures.recorded_run import RecordedRun
from reporting.pictures.tables import Cell, facts


def settings(run: RecordedRun) -> h.Node:
    """Settings as they were last, versions, the model."""
    summary, model = run.summary, run.summary.model
    pairs: list[tuple[str, Cell]] = [
        ("federation", summary.federation),
        ("life", summary.life or "none"),
        ("seed", f"{summary.seed:,}"),
        ("fedgrass", summary.versions.fedgrass or "not installed"),
        ("Python", summary.versions.python),
        ("torch", summary.versions.torch or "not installed"),
        ("folder made", formats.moment(summary.created_at)),
        ("last written", formats.moment(summary.written_at)),
    ]
    if summary.clock == "wall":
        pairs += [
            ("first round opened", formats.moment(summary.started_at)),
            ("last round ended", formats.moment(summary.ended_at)),
        ]
    if model is not None:
        pairs += [
            ("model of round", f"{model.round:,}"),
            ("its size", formats.size(model.bytes)),
            ("its SHA-256", h.code[printable(model.sha256)]),
        ]
    pairs += [(f"{kind} that could not be read", f"{count:,}") for kind, count in summary.left_out.items()]
    text = "\n".join(map(printable, settings_file.yaml_of(run.settings).splitlines()))
    return [
        facts(pairs),
        h.h3["federation.yaml"],
        h.p(".note")["What is not the default:"],
        h.div(".scroll", role="region", tabindex="0", aria_label="federation.yaml")[h.pre[text]],
    ]
