"""Which files there are of each model, and where they lie."""

from cloud.averaging.new_model import FILES, File
from cloud.settings import Averaging, Federation
from cloud.state.records import RoundRecord
from cloud.state.settings_history import ModelFile
from protocol import names


def files_of(settings: Averaging, vectors: int, *, has_bfloat16: bool = False) -> tuple[File, ...]:
    """The files that a federation has of each model, in the order of FILES."""
    kept = {"model": True, "optimizer": bool(vectors), "ema": bool(settings.ema), "bfloat16": has_bfloat16}
    return tuple(file for file in FILES if kept[file])


def files_beside(settings: Federation) -> dict[File, str]:
    """The files that a reference to a model refers to as well, and as what: what devices may have to download."""
    found: dict[File, str] = {}
    if settings.has_bfloat16_copy:
        found["bfloat16"] = "copy"
    if settings.averaging.ema and settings.evaluation.every_rounds is not None:
        found["ema"] = "average"
    return found


def key_of(file: File | ModelFile, record: RoundRecord, round_number: int) -> str:
    """S3 key of a file that belongs to the model of a round of the same federation as `record`."""
    keys = {
        "model": names.model_key,
        "optimizer": names.optimizer_key,
        "ema": names.ema_key,
        "bfloat16": names.bfloat16_key,
        "last_updates": names.last_updates_key,
    }
    return keys[file](record.federation, round_number, record.life)
