"""What one member can do to a federation, with its own certificate and credentials: tried, attack by attack.

`python -m trials.attacks` deploys the stack to the embedded AWS, with IAM, SigV4 and IoT policies enforced, and tries
each attack of the catalogue in rounds of its own, with honest members beside it: over MQTT with the member's
certificate, or by calls and requests with its credentials. The model that these rounds end with is compared, bit by
bit, with that of the same rounds without the attack.

A line tells of each attack whether it was accepted (AWS allowed it, the update counted, or something changed) or
refused, and by what. The last line is JSON: {"attacks", "accepted", "bits_changed"}. The status is not 0 if a bit was
changed, or an attack was accepted that docs/security.md does not name under "What is not protected".
"""

import sys
from typing import Annotated

import msgspec
import typer

from sandbox.sandbox import Sandbox
from trials.attacks.catalogue import ATTACKS
from trials.attacks.runner import Result, carry_out
from trials.attacks.target import Arena


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """See the module."""

    attacks: int
    accepted: int
    bits_changed: int


def _line(result: Result) -> str:
    word = "ACCEPTED" if result.accepted else "refused"
    known = f" (documented: {result.attack.documented})" if result.accepted and result.attack.documented else ""
    changed = "; THE MODEL HAS OTHER BITS" if result.bits_changed else ""
    return f"{word:8}  {result.attack.name}: {result.because}{known}{changed}"


def main(
    only: Annotated[list[str] | None, typer.Option(help="Try this attack alone; may be given more than once.")] = None,
    show: Annotated[
        bool, typer.Option("--list", help="Tell the attacks, and what has to stop them; try none.")
    ] = False,
) -> None:
    """Try the attacks of the catalogue, and print what came of each."""
    unknown = set(only or ()) - {attack.name for attack in ATTACKS}
    if unknown:
        raise typer.BadParameter(f"there is no attack {', '.join(sorted(unknown))}: see --list")
    chosen = [attack for attack in ATTACKS if not only or attack.name in only]
    if show:
        for attack in chosen:
            print(f"{attack.name}: {attack.tries} Control: {attack.control}.")
        return
    results = []
    with Sandbox() as sandbox:
        arena = Arena(sandbox.aws, sandbox.deployment, sandbox.path / "members")
        for attack in chosen:
            results.append(carry_out(arena, attack))
            print(_line(results[-1]), flush=True)
        arena.close()
    counts = Counts(
        attacks=len(results),
        accepted=sum(result.accepted for result in results),
        bits_changed=sum(result.bits_changed for result in results),
    )
    print(msgspec.json.encode(counts).decode())
    sys.exit(0 if all(result.is_as_it_should_be for result in results) else 1)


if __name__ == "__main__":
    typer.run(main)
