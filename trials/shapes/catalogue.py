"""The tasks of tasks/shapes, and what has to come of each."""

import ast
from collections.abc import Callable
from pathlib import Path

import msgspec

from trials.shapes.data import write_digits, write_photos

TASKS = Path(__file__).parent.parent / "tasks" / "shapes"


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A task by the name of its folder. Its trainable parameters have to change, its frozen ones must not, buffers may;
    but for patterns of tensors' names: `trained` are parameters under names that the model does not know them by,
    `moves` have to change as well, `stays` must not. A tensor of one number that is in `ends` has to end there.
    `measure` has to go down, and the accuracy to reach `accuracy`.

    `write_data` fills the folder of the device of a number. With `late`, updates may come after their rounds have
    ended. A task that can't train has the words that it has to be `refused` with."""

    name: str
    trained: tuple[str, ...] = ()
    moves: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()
    measure: str = "loss"
    accuracy: float = 0.0
    ends: dict[str, float] = {}
    devices: int = 2
    write_data: Callable[[Path, int], None] = write_digits
    late: bool = False
    refused: str | None = None

    @property
    def special(self) -> str:
        """The first line of the task's own docstring."""
        text = ast.get_docstring(ast.parse((TASKS / self.name / "task.py").read_text())) or ""
        return text.partition("\n")[0].removesuffix(".")


_STATISTICS = ("*running_mean", "*running_var", "*num_batches_tracked")

SHAPES = (
    # Models whose state is not what their modules hold.
    Shape(name="lora"),
    Shape(name="adapter-copies", trained=("*lora_*",)),
    Shape(name="chosen-adapters"),
    Shape(name="half-state"),
    Shape(name="renamed-by-hook", trained=("*",)),
    Shape(name="extra-state", moves=("*_extra_state",)),
    Shape(name="tied-weights", accuracy=0.9),
    Shape(name="frozen-layers", stays=("0.*",)),
    Shape(name="unused-parts", stays=("later.*", "conditions")),
    Shape(name="non-persistent"),
    Shape(name="channels-last"),
    Shape(name="scripted"),
    Shape(name="compiled"),
    Shape(name="odd-names"),
    Shape(name="lazy-layers", moves=_STATISTICS),
    Shape(name="parametrizations", moves=("*._u",)),
    # Buffers.
    Shape(name="batch-norm", moves=_STATISTICS),
    Shape(name="batch-norm-bfloat16", moves=_STATISTICS),
    Shape(name="batch-norm-int8", moves=_STATISTICS),
    Shape(name="batch-norm-late", moves=_STATISTICS, late=True),
    Shape(name="cumulative-norm", moves=_STATISTICS),
    Shape(name="other-norms", moves=_STATISTICS[:2]),
    Shape(name="integer-buffers", moves=("seen",), stays=("positions", "shown", "version"), ends={"batches": 48}),
    Shape(name="counts-in-forward", moves=("largest",), ends={"calls": 48}),
    Shape(name="infinite-mask", stays=("mask",)),
    Shape(name="mobilenet-tiny", moves=_STATISTICS),
    # Sizes and dtypes.
    Shape(name="tensors-20000"),
    Shape(name="one-scalar"),
    Shape(name="float64"),
    Shape(name="bfloat16"),
    Shape(name="float16"),
    Shape(name="mixed-dtypes"),
    # Layers that are not as others.
    Shape(name="sparse-embedding"),
    Shape(name="rotary-angles"),
    Shape(name="lstm"),
    Shape(name="bidirectional-gru"),
    Shape(name="rnn-forecast"),
    # Data.
    Shape(name="segmentation", accuracy=0.8),
    Shape(name="tokens", accuracy=0.9),
    Shape(name="custom-dataset", accuracy=0.5),
    Shape(name="transformed-tensors", accuracy=0.5),
    Shape(name="transformed-subset", accuracy=0.5),
    Shape(name="list-dataset", accuracy=0.5),
    Shape(name="concatenated", accuracy=0.5),
    Shape(name="photo-folder", write_data=write_photos, accuracy=0.5),
    Shape(name="stream-custom-train", accuracy=0.8),
    Shape(name="loader-workers", accuracy=0.5),
    Shape(name="dict-inputs"),
    Shape(name="named-inputs"),
    # Training and values of the task's own.
    Shape(name="regression"),
    Shape(name="own-loss"),
    Shape(name="quantiles"),
    Shape(name="mixture-density"),
    Shape(name="multi-label"),
    Shape(name="triplets"),
    Shape(name="pairs"),
    Shape(name="autoencoder"),
    Shape(name="gan"),
    Shape(name="centroids", moves=("centres", "counts")),
    Shape(name="dropout-custom-train"),
    Shape(name="best-epoch", accuracy=0.5),
    Shape(name="helper-modules", accuracy=0.7),
    Shape(name="global-settings"),
    Shape(name="described-by-numpy"),
    Shape(name="checkpointed-by-numpy"),
    # What can't train, and is said so.
    Shape(name="refused-complex", refused="'phases'"),
    Shape(name="refused-lazy", refused="'0.weight'"),
    Shape(name="refused-meta", refused="'2.weight'"),
    Shape(name="refused-quantized", refused="'table'"),
    Shape(name="refused-sparse", refused="'edges'"),
    Shape(name="refused-nan", refused="'scale'"),
    Shape(name="refused-no-tensors", refused="no tensor"),
    Shape(name="refused-pickled-state", refused="'_extra_state'"),
    Shape(name="refused-grown", refused="'scale'"),
    Shape(name="refused-stream", refused="'Stream'"),
)
