"""Carrying an attack out: in rounds of its own, whose model is compared with that of the same rounds without it."""

import msgspec

from trials.attacks.attack import Attack
from trials.attacks.target import Arena


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an attack."""

    attack: Attack
    accepted: bool
    because: str
    bits_changed: bool

    @property
    def is_as_it_should_be(self) -> bool:
        """Whether the model is what it would have been, and nothing was accepted that is not documented."""
        return not self.bits_changed and (not self.accepted or self.attack.documented is not None)


def carry_out(arena: Arena, attack: Attack) -> Result:
    """Try an attack."""
    expected = arena.expected(attack.scene)
    target = arena.target(attack.name, attack.scene)
    verdict = attack.attempt(target)
    return Result(
        attack=attack,
        accepted=verdict.accepted,
        because=verdict.because,
        bits_changed=target.end() != expected,
    )
