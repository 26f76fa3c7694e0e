"""Why a local round failed, in the words that reach the operator."""

from components.client.reasons import shorten
from components.client.trainer import memory


def explain(error: BaseException, memory_mb: float = 0.0) -> str:
    """The reason for which a client reports that it failed. `memory_mb` is what its process may allocate, 0 for no
    limit."""
    known = type(error).__module__.startswith(("components.", "protocol."))
    reason = shorten(str(error) if known else f"{type(error).__name__}: {error}")
    if not memory.ran_out(error):
        return reason
    limit = f"memory_mb is {memory_mb:g}, " if memory_mb else ""
    return f"out of memory ({limit}{memory.peak_mb():.0f} MB were used): {reason}"
