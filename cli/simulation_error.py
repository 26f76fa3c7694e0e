"""How `fedgrass simulate` fails."""

FAILED, USAGE = 1, 2
"""How the command ends if the simulation fails, or was asked for in a wrong way."""


class SimulationError(Exception):
    """The simulation can't be run as it was asked for, or made no model; the text says why. `status` is what the
    command ends with."""

    def __init__(self, text: str, status: int = FAILED) -> None:
        super().__init__(text)
        self.status = status
