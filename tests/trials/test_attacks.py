"""The trial's attacks, each in rounds of its own: whose model is, bit by bit, that of the same rounds without it."""

import re
from collections.abc import Iterator

import pytest

from operations.deployment import Deployment
from sandbox.embedded_aws import EmbeddedAws
from tests.paths import ROOT
from trials.attacks.attack import Attack, Verdict, accepted, attack, refused
from trials.attacks.catalogue import ATTACKS
from trials.attacks.example_updates import update_of
from trials.attacks.runner import carry_out
from trials.attacks.target import Arena, Target


@pytest.fixture(scope="module")
def arena(aws: EmbeddedAws, deployed: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """Where the attacks are tried."""
    made = Arena(aws, deployed, tmp_path_factory.mktemp("members"))
    yield made
    made.close()


@pytest.mark.parametrize("tried", ATTACKS, ids=lambda tried: tried.name)
def test_no_attack_changes_a_bit(arena: Arena, tried: Attack) -> None:
    result = carry_out(arena, tried)
    assert not result.bits_changed
    assert result.accepted == (tried.documented is not None), result.because


def test_what_is_accepted_is_documented_as_not_protected() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    said = re.findall(r"^- \*\*(.+?)\*\*", text.partition("## What is not protected\n")[2], re.MULTILINE)
    assert {each.documented for each in ATTACKS} - {None} <= {sentence.rstrip(".") for sentence in said}


def test_the_catalogue_has_each_attack_once() -> None:
    names = [each.name for each in ATTACKS]
    assert len(set(names)) == len(names) >= 60
    assert all(each.tries.endswith(".") and each.control for each in ATTACKS)


@attack("nothing")
def send_in_anothers_name(target: Target) -> Verdict:
    """Do, with an administrator's credentials, what a member can't."""
    body = update_of(target.report(thing=target.victim), 1e3)
    target.arena.aws.client("s3").put_object(Bucket=target.bucket, Key=target.key(thing=target.victim), Body=body)
    target.counted(thing=target.victim)
    return refused("or so it says")


@attack("nothing")
def do_nothing(_target: Target) -> Verdict:
    """Do what is allowed."""
    return accepted("it was allowed")


def test_other_bits_of_the_model_are_told(arena: Arena) -> None:
    result = carry_out(arena, send_in_anothers_name)
    assert result.bits_changed
    assert not result.is_as_it_should_be


def test_what_is_accepted_and_not_documented_is_told(arena: Arena) -> None:
    result = carry_out(arena, do_nothing)
    assert (result.accepted, result.bits_changed) == (True, False)
    assert not result.is_as_it_should_be
