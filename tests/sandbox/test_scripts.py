from pathlib import Path
from typing import Any

import pytest

from sandbox.nucleus.configuration import Configuration
from sandbox.nucleus.scripts import Variables, fill_in_classic, fill_in_lite


def variables(**configuration: Any) -> Variables:
    return Variables(
        thing="thing-1",
        artifacts=Path("/gg/packages/artifacts/c/1.2.3"),
        decompressed=Path("/gg/packages/artifacts-unarchived/c/1.2.3"),
        work=Path("/gg/work/c"),
        root=Path("/gg"),
        configuration=Configuration(configuration),
    )


def test_variables_are_filled_in() -> None:
    script = '"{artifacts:path}/a.zip" {work:path}/../x {iot:thingName} $HOME {configuration:/a/b} {configuration:/n}'
    known = variables(a={"b": "text"}, n=7)
    assert fill_in_classic(script, known) == (
        '"/gg/packages/artifacts/c/1.2.3/a.zip" /gg/work/c/../x thing-1 $HOME text 7'
    )
    assert fill_in_lite(script, known) == (
        '"/gg/packages/artifacts/c/1.2.3//a.zip" /gg/work/c//../x thing-1 $HOME text 7'
    )


@pytest.mark.parametrize(
    ("script", "cut"),
    [
        ("echo ${HOME}; rm x", "echo $"),
        ("awk '{ print }' x", "awk '"),
        ("a {configuration:/missing} b", "a "),
        ("a {com.example.Other:configuration:/x} b", "a "),
        ("a { b", "a "),
        ("{iot:thingName} {iot:other}", "thing-1 "),
    ],
)
def test_classic_leaves_other_braces_alone_and_lite_cuts_the_script_there(script: str, cut: str) -> None:
    assert fill_in_lite(script, variables()) == cut
    assert fill_in_classic(script, variables()) == script.replace("{iot:thingName}", "thing-1")


def test_lite_escapes_values_for_double_quotes() -> None:
    known = variables(x={"a": 'say "$5"', "b": "`\\"})
    assert fill_in_lite('echo "{configuration:/x/a}{configuration:/x/b}"', known) == ('echo "say \\"\\$5\\"\\`\\\\"')
    assert fill_in_lite("{configuration:/x}", variables(x={"a": 1})) == '{\\"a\\":1}'
    assert fill_in_classic("{configuration:/x}", variables(x={"a": 1})) == '{"a":1}'
