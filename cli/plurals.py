"""How many there are of something, in words."""

_VOWELS = "aeiou"


def counted(number: int, noun: str) -> str:
    """Such as "1 round", "1,000 clients" or "2 entries"."""
    if number == 1:
        return f"1 {noun}"
    ends_in_y = noun.endswith("y") and noun[-2:-1] not in _VOWELS
    return f"{number:,} {noun.removesuffix('y')}ies" if ends_in_y else f"{number:,} {noun}s"
