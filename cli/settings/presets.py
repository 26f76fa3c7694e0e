"""What a `preset` says in the place of the user, where federation.yaml leaves a field out (docs/policies.md)."""

from collections.abc import Mapping
from typing import Any, get_args

import msgspec

from cloud.initiator.selection import selection_policy_of
from cloud.settings import Federation, PresetName, SelectionPolicyName

PRESETS: Mapping[PresetName, Mapping[str, Mapping[str, Any]]] = {
    "iid": {
        "training": {"batch_size": 32, "learning_rate": 0.05, "momentum": 0.9, "epochs": 8},
        "selection": {"cohort": 10},
    },
    "label-skew": {
        "training": {"batch_size": 64, "learning_rate": 0.2, "steps": 3},
        "selection": {"cohort": 40},
        "averaging": {"optimizer": {"name": "fedavgm", "beta": 0.9}, "ema": 0.9},
    },
}


def completed(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a file says, and what its preset says of the fields that it leaves out. A file that is wrong is for others
    to refuse: of one with a preset that there isn't, no field is said to be missing."""
    if raw.get("preset") is None:
        return raw
    preset = next((fields for name, fields in PRESETS.items() if name == raw["preset"]), PRESETS["iid"])
    parts = {part: _beside(part, raw.get(part, {}), fields) for part, fields in preset.items()}
    return {**raw, **parts}


def given(settings: Federation) -> dict[str, Any]:
    """What a federation has in the fields that its preset knows, by their dotted names; nothing without one."""
    preset = {} if settings.preset is None else PRESETS[settings.preset]
    values = msgspec.to_builtins(settings)
    return {
        f"{part}.{name}": values[part][name]
        for part, fields in preset.items()
        for name in fields
        if values[part][name] is not None
    }


def _beside(part: str, said: Any, fields: Mapping[str, Any]) -> Any:
    """What a part of the file says, and of these fields those that go with it."""
    if not isinstance(said, Mapping):
        return said
    unwanted = set()
    if part == "training" and ("epochs" in said or "steps" in said):
        unwanted = {"epochs", "steps"}  # there has to be one of them
    if part == "selection" and said.get("policy") in get_args(SelectionPolicyName):
        unwanted = fields.keys() - selection_policy_of(said["policy"]).settings
    return {**{name: value for name, value in fields.items() if name not in unwanted}, **said}
