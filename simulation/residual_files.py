"""What lossy encodings left out of clients' last updates: as on devices, but all below one folder, and written when the
simulation is saved. Those that it was saved with before stay until then: it may be resumed from there."""

from pathlib import Path

from components.client.trainer.files.residual import Owner, Residuals
from protocol.encodings import Floats


class ResidualFiles:
    """The residuals of a simulation's clients, below a folder, which is made when there are some. `schema` is the
    `schema_id` of the model's tensors."""

    def __init__(self, directory: Path, federation: str, schema: str, n_parameters: int) -> None:
        self._directory = directory
        self._federation = federation
        self._schema = schema
        self._n_parameters = n_parameters
        self._unsaved: dict[str, tuple[int, Floats]] = {}

    def before(self, thing: str, round_number: int) -> Floats | None:
        """See `Residuals`."""
        kept_in, residual = self._unsaved.get(thing, (round_number, None))
        return residual if kept_in < round_number else self._of(thing).before(round_number)

    def keep(self, thing: str, round_number: int, residual: Floats) -> None:
        """See `Residuals`."""
        self._unsaved[thing] = (round_number, residual)

    def save(self) -> None:
        """Write those that have been left since this was called before."""
        for thing, (round_number, residual) in self._unsaved.items():
            self._directory.mkdir(parents=True, exist_ok=True)
            self._of(thing).keep(round_number, residual)
        self._unsaved.clear()

    def _of(self, thing: str) -> Residuals:
        owner = Owner(federation=self._federation, thing=thing, schema=self._schema)
        return Residuals(self._directory / thing, owner, self._n_parameters, _replace)


def _replace(path: Path, *parts: bytes) -> None:
    """Replaces a file by these bytes in one step: it is whole, or not there, when the process is killed. Unlike what
    `components.client.durable` writes, it may be lost when the machine loses power."""
    temporary = path.with_suffix(".new")
    try:
        with temporary.open("wb") as file:
            file.writelines(parts)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
