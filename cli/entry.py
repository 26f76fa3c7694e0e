"""What `fedgrass` starts: what a command needs is imported here, so that Ctrl-C ends it in words meanwhile, too."""

import os
import sys
from typing import NoReturn

INTERRUPTED = 130
_STANDARD_ERROR = 2


def main() -> NoReturn:
    """Entry point."""
    try:
        from cli.main import main as give

        give()
    except KeyboardInterrupt:
        os.write(_STANDARD_ERROR, b"interrupted\n")  # the screen may not be there yet
        sys.exit(INTERRUPTED)
