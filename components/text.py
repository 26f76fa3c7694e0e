"""Text that others have written, and that people are to read."""


def printable(text: str) -> str:
    """The text on one line that shows all there is: control characters, line ends, marks that turn the direction of
    writing and halves of surrogate pairs are in it as escapes, such as `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
