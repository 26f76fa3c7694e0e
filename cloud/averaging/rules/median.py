"""The coordinate-wise median. Of fewer than three updates it would be a mean."""

from cloud.averaging.robust import coordinate_median
from cloud.averaging.rules.coordinates import CoordinateWise
from cloud.averaging.rules.rule import Least, Rule

MEDIAN = Rule(
    sees="coordinates",
    is_robust=True,
    least=Least(lambda _: 3, "rule", "updates: of fewer it would be a mean"),
    change=lambda updates: CoordinateWise(updates, coordinate_median),
)
