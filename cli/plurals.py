"""How many there are of something, in words."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Such as "1 round" or "1,000 clients"; `plural` is that of a noun that takes more than an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
