"""Why something went wrong, as a text that fits into a shadow, whatever a task, torch or a file's name had to say."""

MAX_REASON_BYTES = 300
"""A longer reason is cut: with it, a whole shadow document stays under `messages.MAX_MESSAGE_BYTES`. In JSON, a text of
this length has at most twice as many bytes: of what is escaped there, only `"` and the backslash are left."""


def shorten(reason: str) -> str:
    """The reason on one line, cut in the middle if it is longer than a shadow has room for; what cannot be printed is
    replaced by a question mark."""
    text = "".join(character if character.isprintable() else "?" for character in " ".join(reason.split()))
    raw = text.encode()
    if len(raw) <= MAX_REASON_BYTES:
        return text
    half = (MAX_REASON_BYTES - 5) // 2
    return f"{raw[:half].decode(errors='ignore')} ... {raw[-half:].decode(errors='ignore')}"
