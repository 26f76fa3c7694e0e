"""Whether more of a metric is better, by the words of its name."""

import re

_LESS = frozenset({"loss", "error", "err", "mae", "mse", "rmse", "mape", "nll", "perplexity", "distance", "regret"})
_MORE = frozenset(
    {"accuracy", "acc", "auc", "auroc", "f1", "precision", "recall", "r2", "iou", "dice", "score", "bleu"}
)


def direction(metric: str) -> int:
    """1 if more of a metric is better, -1 if less is, by the words of its name; 0 if they don't tell."""
    words = set(re.split(r"[^a-z0-9]+", metric.lower()))
    return -1 if words & _LESS else int(bool(words & _MORE))
