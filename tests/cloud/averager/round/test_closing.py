"""cloud/averager/round/closing.py: what is recorded and told of a round that has ended."""

import msgspec

from cloud.averager.round.closing import notice_of
from cloud.averager.round.pooled_metrics import MAX_METRICS
from cloud.state.records import RoundRecord, from_item, to_item
from cloud.state.round_warnings import MAX_WARNINGS, merged, negative_variance
from protocol.messages import MAX_MESSAGE_BYTES, encode
from tests.cloud.examples import round_record


def test_records_of_rounds_that_had_no_warnings_yet_are_read() -> None:

    record = round_record("a")
    item = to_item(record)
    del item["warnings"], item["not_finite"]
    assert from_item(item, RoundRecord) == record


def test_warnings_and_metrics_never_make_a_notice_too_long() -> None:
    long = [negative_variance(f"{number}" + "é" * 500) for number in range(50)]
    warnings = merged(long[::2], long[1::2])
    assert (len(warnings), warnings) == (MAX_WARNINGS, merged(merged(long[1::2]), merged(reversed(long))))
    names_ = [f"{number:064d}_before" for number in range(MAX_METRICS)]
    full = msgspec.structs.replace(
        round_record("a"),
        status="closed",
        warnings=warnings,
        metrics=dict.fromkeys(names_, 0.1234567890123456),
        not_finite=dict.fromkeys(names_, 1500),
    )
    notice = notice_of(full)
    assert len(encode(notice)) <= MAX_MESSAGE_BYTES
    assert notice.warnings
