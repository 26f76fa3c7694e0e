"""Reads a CloudFormation template in YAML."""

from typing import Any

import yaml


class ShortForms(yaml.CSafeLoader):
    """Reads CloudFormation's short forms as {"Ref": ...} and {"Fn::...": ...}."""


def _short_form(loader: yaml.Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        raise TypeError(f"{suffix} of a mapping")
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


ShortForms.add_multi_constructor("!", _short_form)
