"""What the averaging rules are like: what is known of each is looked up here."""

from cloud.settings import Rule


def is_robust(rule: Rule) -> bool:
    """Whether a rule bears some clients that send anything: it takes no one's word, on examples or on steps."""
    match rule:
        case "median" | "trimmed_mean" | "krum" | "multi_krum":
            return True
        case "mean" | "weighted" | "own":
            return False
