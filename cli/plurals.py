"""How many there are of something, in words."""


def counted(number: int, noun: str) -> str:
    """Such as "1 round" or "1,000 clients"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
