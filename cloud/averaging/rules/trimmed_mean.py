"""The coordinate-wise trimmed mean. Of fewer than three updates there would be nothing to trim."""

from functools import partial

from cloud.averaging import robust
from cloud.averaging.rules.coordinates import CoordinateWise
from cloud.averaging.rules.rule import Least, Rule

TRIMMED_MEAN = Rule(
    sees="coordinates",
    is_robust=True,
    settings=frozenset({"trim"}),
    least=Least(lambda settings: 3 if settings.trim else 1, "rule", "updates: of fewer it would be a mean"),
    change=lambda updates: CoordinateWise(updates, partial(robust.trimmed_mean, share=updates.settings.trim)),
)
