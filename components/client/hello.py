"""What a device says of itself when it joins."""

import os

from components.client import __version__
from protocol.messages import Hello


def hello(examples: int | None) -> Hello:
    """This device; `examples` is None until the task's data has been loaded."""
    return Hello(
        component_version=__version__,
        architecture=os.uname().machine,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        cpu_count=os.cpu_count() or 1,
        examples=examples,
    )
