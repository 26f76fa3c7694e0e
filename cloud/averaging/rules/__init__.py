"""What the averaging rules are like: what is known of each is looked up here."""

from cloud.settings import Averaging, Rule


def is_robust(rule: Rule) -> bool:
    """Whether a rule bears some clients that send anything: it takes no one's word, on examples or on steps."""
    match rule:
        case "median" | "trimmed_mean" | "krum" | "multi_krum":
            return True
        case "mean" | "weighted" | "own":
            return False


def least_updates(settings: Averaging) -> int:
    """Of how many updates a rule can make a model at least. Of fewer a median is a mean, there is nothing to trim, and
    Krum guarantees nothing (Blanchard et al., 2017, section 4: n >= 2f + 3)."""
    match settings.rule:
        case "median":
            return 3
        case "trimmed_mean":
            return 3 if settings.trim else 1
        case "krum" | "multi_krum":
            return 2 * settings.byzantine + 3
        case "mean" | "weighted" | "own":
            return 1
