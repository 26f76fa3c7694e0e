"""NVIDIA FLARE: `WeightedAggregationHelper`, as its FedAvg calls it, from FOBS to FOBS.

A client's answer is a Shareable with a DXO of whole models, which travels in FLARE's own object serialization: numpy's
format for each array, inside msgpack. Its server adds each answer when it has come, so only one is in memory.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from nvflare.apis.dxo import DXO, DataKind, MetaKey, from_shareable
from nvflare.apis.utils.decomposers import flare_decomposers
from nvflare.app_common.aggregators.weighted_aggregation_helper import WeightedAggregationHelper
from nvflare.app_common.decomposers import common_decomposers, numpy_decomposers
from nvflare.fuel.utils import fobs

from benchmarks.contenders import inputs

_ROUND = 1


class Flare:
    """Whole models; sums in float32, by default weighted by steps."""

    def __init__(self, architecture: str) -> None:
        self._architecture = architecture
        for decomposers in (flare_decomposers, common_decomposers, numpy_decomposers):
            decomposers.register()

    def prepare(self, clients: int, directory: Path) -> None:
        """What clients send when they have trained."""
        models = inputs.trained_models(self._architecture, clients)
        for client, (path, arrays) in enumerate(zip(inputs.update_paths(directory, clients), models, strict=True)):
            answer = DXO(DataKind.WEIGHTS, data=arrays)
            answer.set_meta_prop(MetaKey.NUM_STEPS_CURRENT_ROUND, inputs.weight(client))
            path.write_bytes(fobs.dumps(answer.to_shareable()))

    def average(self, updates: Sequence[Path], model: Path) -> None:
        """Decode and add one answer after another, divide, encode."""
        helper = WeightedAggregationHelper()
        for path in updates:
            answer = from_shareable(fobs.loads(path.read_bytes()))
            helper.add(answer.data, float(answer.get_meta_prop(MetaKey.NUM_STEPS_CURRENT_ROUND)), path.name, _ROUND)
        model.write_bytes(fobs.dumps(DXO(DataKind.WEIGHTS, data=helper.get_result()).to_shareable()))

    def read(self, model: Path) -> NDArray[np.float32]:
        """The floating-point tensors of the answer."""
        return inputs.flat(self._architecture, from_shareable(fobs.loads(model.read_bytes())).data)
