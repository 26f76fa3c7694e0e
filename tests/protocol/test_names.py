"""protocol/names.py: names that go out come back, and no hostile one comes in."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import names

FEDERATIONS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,39}", fullmatch=True)
THINGS = st.from_regex(r"[a-zA-Z0-9:_-]{1,128}", fullmatch=True)
ROUNDS = st.integers(0, names.MAX_ROUND)
LIVES = st.just("") | st.from_regex(r"[0-9a-f]{8}", fullmatch=True)


@given(FEDERATIONS, ROUNDS, THINGS, LIVES)
def test_an_update_key_tells_its_federation_life_round_and_sender(
    federation: str, round_number: int, thing: str, life: str
) -> None:
    for key_of in (names.update_key, names.former_update_key):
        key = key_of(federation, round_number, thing, life)
        assert names.parse_update_key(key) == names.UpdateName(federation, round_number, thing, life)


@given(FEDERATIONS, ROUNDS, LIVES)
def test_a_model_key_tells_its_life_and_round(federation: str, round_number: int, life: str) -> None:
    assert names.parse_model_key(names.model_key(federation, round_number, life)) == names.ModelName(round_number, life)


def test_no_two_lives_share_a_key_and_none_is_of_another_form() -> None:
    builds = (names.model_key, names.bfloat16_key, names.optimizer_key, names.last_updates_key, names.ema_key)
    lives = ("", names.new_life(), names.new_life())
    assert len({build("f", 1, life) for build in builds for life in lives}) == len(builds) * len(lives)
    for life in ("0a1b2c3", "0A1B2C3D", "0a1b2c3d\n", "../f", "/", "updates"):
        with pytest.raises(names.InvalidNameError, match="life"):
            names.model_key("f", 1, life)


@given(FEDERATIONS)
def test_a_shadow_tells_its_federation(federation: str) -> None:
    assert names.parse_shadow_name(names.shadow_name(federation)) == federation


@pytest.mark.parametrize(
    "shadow", ["", "config", "fedgrass", "fedgrass-", "fedgrass-F", "fedgrass-f\n", "my-fedgrass-f"]
)
def test_a_shadow_of_something_else_is_of_no_federation(shadow: str) -> None:
    with pytest.raises(names.InvalidNameError):
        names.parse_shadow_name(shadow)


@given(FEDERATIONS, THINGS, ROUNDS, ROUNDS)
def test_keys_sort_in_the_order_of_rounds(federation: str, thing: str, one: int, other: int) -> None:
    assert (names.model_key(federation, one) < names.model_key(federation, other)) == (one < other)
    assert (names.update_key(federation, one, thing) < names.update_key(federation, other, thing)) == (one < other)


@given(st.text())
def test_a_key_that_is_taken_for_an_updates_is_the_one_that_fedgrass_builds(key: str) -> None:
    try:
        name = names.parse_update_key(key)
    except names.InvalidNameError:
        return
    keys = (names.update_key, names.former_update_key)
    assert key in [key_of(name.federation, name.round, name.thing, name.life) for key_of in keys]


@pytest.mark.parametrize(
    "key",
    [
        "",
        "updates/f/00000001/.safetensors",
        "updates/f/1/thing.safetensors",
        "updates/f/0000000\u0661/thing.safetensors",  # a digit, but none that update_key writes
        "updates/f/00000001/a/thing.safetensors",
        "updates/f/00000001//thing.safetensors",
        "updates//00000001/thing.safetensors",
        "updates/f/x/00000001/thing.safetensors",
        "updates/F/00000001/thing.safetensors",
        "updates/federations/f/updates/00000001/thing.safetensors",
        "updates/thing.safetensors",
        "/updates/f/00000001/thing.safetensors",
        "updates/f/00000001/thing.pt",
        "updates/f/00000001/thing%2f.safetensors",
        "federations/f/models/updates/00000001/thing.safetensors",
        "federations/f/updates/00000001/.safetensors",
        "federations/f/updates/1/thing.safetensors",
        "federations/f/updates/000000001/thing.safetensors",
        "federations/f/updates/-0000001/thing.safetensors",
        "federations/f/updates/0000000\u0661/thing.safetensors",  # a digit, but none that update_key writes
        "federations/f/updates/00000001/thing.pt",
        "federations/f/updates/00000001/thing.safetensors\n",
        "federations/f/updates/00000001/thing\n.safetensors",
        "federations/f/updates/00000001/../../models/00000001.safetensors",
        "federations/f/updates/00000001/a/b.safetensors",
        "federations/../updates/00000001/thing.safetensors",
        "federations/F/updates/00000001/thing.safetensors",
        "federations/f/x/updates/00000001/thing.safetensors",
        "federations/f//updates/00000001/thing.safetensors",
        "federations/f/0A1B2C3D/updates/00000001/thing.safetensors",
        "federations/f/0a1b2c3d/0a1b2c3d/updates/00000001/thing.safetensors",
        "federations/f/models/00000001.safetensors",
        "federations/f/optimizer/00000001.safetensors",
        "/federations/f/updates/00000001/thing.safetensors",
        "federations/f/updates/00000001/thing#2.safetensors",
        "federations/f/updates/00000001/" + "a" * 129 + ".safetensors",
        "federations/f/updates/00000001/thing%2f.safetensors",
    ],
)
def test_a_key_of_another_form_is_no_updates_key(key: str) -> None:
    with pytest.raises(names.InvalidNameError):
        names.parse_update_key(key)


@pytest.mark.parametrize("name", ["", "-a", "A", "a_b", "a/b", "a b", "a" * 41, "a\n", "é", "a+", "#", "٣"])
def test_a_federation_with_a_name_that_topics_or_keys_cannot_have_is_refused(name: str) -> None:
    for build in (
        names.check_federation,
        names.shadow_name,
        names.round_topic,
        lambda federation: names.model_key(federation, 1),
        lambda federation: names.optimizer_key(federation, 1),
        lambda federation: names.update_key(federation, 1, "thing"),
        lambda federation: names.hello_topic(federation, "thing"),
        lambda federation: names.shadow_topic(federation, "thing", "get"),
    ):
        with pytest.raises(names.InvalidNameError, match=re.escape(repr(name))):
            build(name)


@pytest.mark.parametrize("name", ["", "a/b", "a b", "a+", "#", "a" * 129, "a\n", "é", "..", "a.b", "$aws"])
def test_a_thing_with_a_name_that_iot_does_not_allow_is_refused(name: str) -> None:
    for build in (
        names.check_thing,
        lambda thing: names.update_key("f", 1, thing),
        lambda thing: names.hello_topic("f", thing),
        lambda thing: names.shadow_topic("f", thing, "get"),
    ):
        with pytest.raises(names.InvalidNameError, match=re.escape(repr(name))):
            build(name)


@pytest.mark.parametrize("round_number", [-1, names.MAX_ROUND + 1])
def test_a_round_that_eight_digits_cannot_hold_is_refused(round_number: int) -> None:
    for build in (names.model_key, names.optimizer_key):
        with pytest.raises(names.InvalidNameError, match=str(round_number)):
            build("f", round_number)
    with pytest.raises(names.InvalidNameError, match=str(round_number)):
        names.update_key("f", round_number, "thing")


def test_names_are_the_ones_that_policies_and_rules_of_the_template_speak_of() -> None:
    assert names.model_key("f", 7) == "federations/f/models/00000007.safetensors"
    assert names.optimizer_key("f", 7) == "federations/f/optimizer/00000007.safetensors"
    assert names.update_key("f", 7, "t") == "updates/f/00000007/t.safetensors"
    assert names.former_update_key("f", 7, "t") == "federations/f/updates/00000007/t.safetensors"
    assert names.shadow_name("f") == "fedgrass-f"
    assert names.shadow_topic("f", "t", "update/delta") == "$aws/things/t/shadow/name/fedgrass-f/update/delta"
    assert names.round_topic("f") == "fedgrass/f/round"
    assert names.hello_topic("f", "t") == "fedgrass/f/clients/t/hello"


@given(FEDERATIONS, THINGS)
def test_topics_keep_within_the_limits_of_iot_core(federation: str, thing: str) -> None:
    assert names.hello_topic(federation, thing).count("/") <= 7
    assert len(names.hello_topic(federation, thing)) <= 256
    assert len(names.shadow_name(federation)) <= 64
