"""The policy documents of a template, with its references resolved to names that could be."""

import re
from collections.abc import Iterator
from typing import Any

_PSEUDO_PARAMETERS = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::AccountId": "123456789012",
    "AWS::StackName": "stack",
}
_ARNS = {
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:eu-central-1:123456789012:table/{}",
    "AWS::IAM::Role": "arn:aws:iam::123456789012:role/{}",
    "AWS::Logs::LogGroup": "arn:aws:logs:eu-central-1:123456789012:log-group:{}:*",
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
    "AWS::SQS::Queue": "arn:aws:sqs:eu-central-1:123456789012:{}",
}
_REFERENCE = re.compile(r"\$\{([^!}][^}]*)\}")
_VARIABLE = re.compile(r"\$\{![^}]+\}")
"""One that AWS resolves when the policy is applied, such as the name of the thing that asks."""


def policy_documents(template: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each policy with the resource, and the property of it, that it is written in.

    A trust policy gets the resource that it has without saying so: the role.
    """
    resources: dict[str, dict[str, Any]] = template["Resources"]
    for name, resource in resources.items():
        properties = resource.get("Properties", {})
        if "PolicyDocument" in properties:
            yield f"{name}.PolicyDocument", _resolved(properties["PolicyDocument"], resources)
        for policy in properties.get("Policies", []):
            yield f"{name}.Policies.{policy['PolicyName']}", _resolved(policy["PolicyDocument"], resources)
        if "AssumeRolePolicyDocument" in properties:
            trust = _resolved(properties["AssumeRolePolicyDocument"], resources)
            role = {"Resource": _arn_of(name, resources)}
            yield (
                f"{name}.AssumeRolePolicyDocument",
                trust | {"Statement": [role | statement for statement in trust["Statement"]]},
            )


def _resolved(value: Any, resources: dict[str, dict[str, Any]]) -> Any:
    match value:
        case {"Ref": name}:
            return _referred(name, resources)
        case {"Fn::GetAtt": attribute}:
            return _referred(attribute, resources)
        case {"Fn::Sub": text}:
            text = _REFERENCE.sub(lambda match: _referred(match[1], resources), text)
            return _VARIABLE.sub("variable", text)
        case dict():
            return {key: _resolved(each, resources) for key, each in value.items()}
        case list():
            return [_resolved(each, resources) for each in value]
    return value


def _referred(reference: str, resources: dict[str, dict[str, Any]]) -> str:
    if reference in _PSEUDO_PARAMETERS:
        return _PSEUDO_PARAMETERS[reference]
    name, _, attribute = reference.partition(".")
    return _arn_of(name, resources) if attribute == "Arn" else name.lower()


def _arn_of(name: str, resources: dict[str, dict[str, Any]]) -> str:
    return _ARNS[resources[name]["Type"]].format(name.lower())
