"""The component's configuration, as a deployment sets it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias, assert_never

import msgspec

from components.client.agent.conditions import Conditions
from components.client.agent.gate import Policy
from protocol import names

DAY_S = 86_400.0

WhenNotReady: TypeAlias = Literal["decline", "wait"]
"""What a device does with an assignment while a condition does not hold."""


class ConfigurationError(ValueError):
    """The component is configured in a way that it cannot work with; the text names the key and what to set."""


class Configuration(Conditions, frozen=True, kw_only=True):
    """What a deployment says. `dataset` is this device's data directory, "" for the artifacts directory;
    `held_out` is the share of examples kept for evaluation if the task gives no test set;
    `keep_warm_s` is how long the training process outlives a round, so that the next one starts at once;
    `threads` limits torch's threads, 0 leaves them to torch. A checkpoint is made each `checkpoint_steps` steps of
    training, at the end of each epoch if that is 0, but at most every `checkpoint_s`. `niceness` is that of the
    training process, `memory_mb` what it may allocate, 0 for no limit. If a condition does not hold, an assignment is
    declined, or waits for it. `defer_updates_s` is how long a deployment waits, at most, for a round that is under
    way."""

    federation: str
    bucket: str
    dataset: str = ""
    held_out: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    reconcile_s: Annotated[float, msgspec.Meta(ge=1, le=DAY_S)] = 300.0
    keep_warm_s: Annotated[float, msgspec.Meta(ge=0, le=DAY_S)] = 30.0
    threads: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    checkpoint_steps: Annotated[int, msgspec.Meta(ge=0)] = 0
    checkpoint_s: Annotated[float, msgspec.Meta(ge=0)] = 10.0
    niceness: Annotated[int, msgspec.Meta(ge=0, le=19)] = 10
    memory_mb: Annotated[float, msgspec.Meta(ge=0, le=1e9)] = 0.0
    when_not_ready: WhenNotReady = "decline"
    defer_updates_s: Annotated[float, msgspec.Meta(ge=0)] = 1800.0

    @property
    def policy(self) -> Policy:
        """When the device may train."""
        values = {field: getattr(self, field) for field in Conditions.__struct_fields__}
        return Policy(conditions=Conditions(**values), wait=_waits(self.when_not_ready))


def _waits(choice: WhenNotReady) -> bool:
    """Whether a device that is not ready waits; else it declines."""
    match choice:
        case "decline":
            return False
        case "wait":
            return True
        case _:
            assert_never(choice)


def parse(raw: Mapping[str, Any]) -> Configuration:
    """The configuration from what GetConfiguration answers.

    Scalars may come as strings (nucleus lite makes strings of all in a YAML recipe); a key that is empty or null is
    as good as absent; unknown keys are ignored.

    Raises:
        ConfigurationError: a required key is missing, or a value is not what it should be.
    """
    # All scalars as strings is the one form that every nucleus can give; msgspec reads numbers from them.
    texts = {key: str(value).strip() for key, value in raw.items() if value is not None}
    try:
        configuration = msgspec.convert({key: text for key, text in texts.items() if text}, Configuration, strict=False)
        names.check_federation(configuration.federation)
    except (msgspec.ValidationError, names.InvalidNameError) as error:
        raise ConfigurationError(
            f"configuration of com.fedgrass.Client: {error}. Set it in the deployment's configurationUpdate: "
            '{"MERGE": {"federation": "<name>", "bucket": "<bucket>"}}'
        ) from error
    return configuration
