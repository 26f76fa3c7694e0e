"""FedVARP (Jhunjhunwala et al., 2022, algorithm 2): clients that a round is without are stood in for by the updates
that they sent last. Pure.

The change that a round makes is the mean of all clients' last updates, as they were before the round, and the weighted
mean of how its own clients' new updates differ from their last ones. Of a client that has never sent one, the paper
takes 0. Here it is the mean of those that there are: the expected change is the same, nothing has to be known of
clients that never came, and the first rounds, which know few clients, take no larger steps than the others.

The mean is kept as a sum, which changes by what the round's clients change of it. So a round reads two updates of each
of its clients, however large the fleet is.
"""

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from cloud.averaging.accepted_updates import AcceptedUpdate, S3Object
from cloud.averaging.weighing import counts_of
from cloud.averaging.weights import Weighing
from cloud.settings import Averaging, RuleName
from protocol.messages import Encoding

KEPT_S = 29 * 86_400.0
"""The bucket's lifecycle deletes no version of an update before it is 30 days old."""


class LastUpdate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The last update of a client that counted: its file, and when it arrived. It is in the sum `scale` times, and
    counts for `weight` in the mean, as it did in its round, but for the probability of the client's selection."""

    key: str
    data_start: int
    version_id: str | None = None
    arrived_at: float
    weight: float
    scale: float = 1.0

    @property
    def stored(self) -> S3Object:
        """Its file."""
        return S3Object(key=self.key, data_start=self.data_start, version_id=self.version_id)


class LastUpdates(msgspec.Struct, frozen=True, kw_only=True):
    """The last update of each client, in one encoding, by things' names; `rule` is the one that they were weighed by.
    They belong to a model, as the sum of them does, which is the last vector of the server optimizer's state."""

    encoding: Encoding
    rule: RuleName
    of: Mapping[str, LastUpdate] = {}

    def of_use(self, encoding: Encoding, rule: RuleName, expelled: Sequence[str], now: float) -> "LastUpdates":
        """Those that a round may use which is averaged now: all, or none, if others are asked for, if S3 may have
        deleted one, or if one is of a client that has been expelled. Nothing of it is left in the sum then."""
        is_known = (self.encoding, self.rule) == (encoding, rule) and not self.of.keys() & set(expelled)
        if is_known and all(now - one.arrived_at < KEPT_S for one in self.of.values()):
            return self
        return LastUpdates(encoding=encoding, rule=rule)


class Recalled(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """How a round takes its clients' last updates into account. `stored` are those that it reads after its own ones,
    and `weighing` is of both. The change is what they make together, and `share` times the sum of all clients' last
    updates, None if that is to begin anew. `after` are the last updates when the round has ended."""

    stored: tuple[S3Object, ...]
    weighing: Weighing
    share: float | None
    after: LastUpdates


def recall(settings: Averaging, sources: Sequence[AcceptedUpdate], weighing: Weighing, before: LastUpdates) -> Recalled:
    """Of a round with these updates, which are weighed like this."""
    counts = counts_of(settings, [source.report.examples for source in sources])
    known = [place for place, source in enumerate(sources) if source.thing in before.of]
    last = [before.of[sources[place].thing] for place in known]
    known_share = math.fsum(weighing.weights[known]) / weighing.total(range(len(sources)))
    new = {
        source.thing: LastUpdate(
            key=source.stored.key,
            data_start=source.stored.data_start,
            version_id=source.stored.version_id,
            arrived_at=source.arrived_at,
            weight=float(count),
            scale=float(scale),
        )
        for source, count, scale in zip(sources, counts, weighing.scales, strict=True)
    }
    after = {**before.of, **new}
    both = Weighing(
        weights=np.concatenate([weighing.weights, -weighing.weights[known]]),
        value_weights=np.concatenate([weighing.value_weights, np.zeros(len(known))]),
        scales=np.concatenate([weighing.scales, [one.scale for one in last]]),
        norms=weighing.norms,
        integer_limit=weighing.integer_limit,
        sum_weights=np.concatenate([np.array(counts, np.float64), [-one.weight for one in last]]),
    )
    return Recalled(
        stored=tuple(one.stored for one in last),
        weighing=both,
        share=known_share / math.fsum(one.weight for one in before.of.values()) if before.of else None,
        after=msgspec.structs.replace(before, of={thing: after[thing] for thing in sorted(after)}),
    )
