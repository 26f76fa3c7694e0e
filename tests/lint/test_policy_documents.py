"""lint/policy_documents.py: every policy of the template is looked at, as AWS would have it."""

import json
from typing import Any

import yaml

from lint.policy_documents import policy_documents
from lint.short_forms import ShortForms
from operations.deployment import TEMPLATE

BODY: dict[str, Any] = yaml.load(TEMPLATE.read_text(), ShortForms)  # noqa: S506 - a safe loader
DOCUMENTS = dict(policy_documents(BODY))


def test_every_policy_of_the_template_is_found() -> None:
    written = TEMPLATE.read_text().count("PolicyDocument:")
    assert len(DOCUMENTS) == written > 0
    statements = sum(len(document["Statement"]) for document in DOCUMENTS.values())
    assert statements == TEMPLATE.read_text().count(" Effect: ")


def test_nothing_of_a_policy_is_left_to_be_resolved() -> None:
    text = json.dumps(DOCUMENTS)
    assert "Fn::" not in text
    assert '"Ref"' not in text
    assert "$" not in text.replace("topic/$aws/", "").replace("topicfilter/$aws/", "")


def test_references_become_what_they_may_be() -> None:
    resources = {
        "Queue": {"Type": "AWS::SQS::Queue"},
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": {"Statement": [{"Action": "sts:AssumeRole"}]},
                "Policies": [
                    {
                        "PolicyName": "all",
                        "PolicyDocument": {
                            "Statement": [
                                {
                                    "Resource": [
                                        {"Fn::GetAtt": "Queue.Arn"},
                                        {"Fn::Sub": "${Queue.Arn}/${!aws:username}"},
                                    ]
                                },
                                {"Resource": {"Fn::Sub": "arn:${AWS::Partition}:x:::${AWS::StackName}-${Queue}"}},
                                {"Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}},
                            ]
                        },
                    }
                ],
            },
        },
    }
    queue = "arn:aws:sqs:eu-central-1:123456789012:queue"
    assert dict(policy_documents({"Resources": resources})) == {
        "Role.Policies.all": {
            "Statement": [
                {"Resource": [queue, f"{queue}/variable"]},
                {"Resource": "arn:aws:x:::stack-queue"},
                {"Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}}},
            ]
        },
        "Role.AssumeRolePolicyDocument": {
            "Statement": [{"Resource": "arn:aws:iam::123456789012:role/role", "Action": "sts:AssumeRole"}]
        },
    }
