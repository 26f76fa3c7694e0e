"""`python -m simulation.child MODULE`: calls the main() of a module that computes with torch."""

import importlib
import sys

from components.client.trainer import memory


def main() -> None:
    """What the module imports is here to stay."""
    with memory.here_to_stay():
        module = importlib.import_module(sys.argv[1])
    module.main()


if __name__ == "__main__":
    main()
