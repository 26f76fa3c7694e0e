"""What the server is asked for."""

import msgspec

REQUEST_BYTES = 128 * 1024
"""The longest."""


class Request(msgspec.Struct, frozen=True):
    """A process that is to be forked, as `python -m MODULE`. The files that come with it get the numbers `files`."""

    module: str
    arguments: list[str]
    environment: dict[str, str]
    directory: str
    files: list[int]
    group: int
    own_session: bool
    umask: int
    parent: int
    forks: bool
    """Whether it will have processes forked in its turn."""
