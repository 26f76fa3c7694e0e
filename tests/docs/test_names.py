"""What the documents name is there: files, folders, headings, modules, settings, and names of things in AWS."""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from cli.datasets.writing import CLIENTS, RECORD
from cli.experiments.result_files import TABLE_MARKDOWN
from cloud import metrics
from operations.deployment import Deployment
from operations.doctoring import examination
from protocol import names as protocol_names
from reporting.records import FILES as RUN_FILES
from tests.docs.markdown import DOCUMENTS, anchors, links, prose, spans, table
from tests.paths import ROOT

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)

ROOMS = (
    *(
        "fedgrass",
        "protocol",
        "cloud",
        "components",
        "operations",
        "reporting",
        "simulation",
        "sandbox",
        "cli",
        "trials",
        "benchmarks",
        "website",
    ),
    *("tests", "recipes", "docs"),
)
FILES = [path for room in ROOMS for path in (ROOT / room, *(ROOT / room).rglob("*")) if "__pycache__" not in path.parts]
FILES += [path for path in ROOT.iterdir() if path.is_file()]
PATHS = [f"/{path.relative_to(ROOT)}" for path in FILES]

OF_USERS = {"labels.json", "json.py", "queue.py", "protocol.py", "torch/", "data/", "runs/"}
IN_THE_BUCKET = {
    "model.json",
    "published/",
    "partial/",
    "ema/",
    "models/",
    "updates/",
    "federations/",
    "federations/.../updates/",
}
IN_A_RUN_FOLDER = set(RUN_FILES)
KEPT = {"devices/THING/work/", "devices/THING/tmp/"}
IN_A_SPLIT = {RECORD, f"{CLIENTS}/"}
OF_AN_EXPERIMENT = {TABLE_MARKDOWN, "results/", "runs/", "runs/COMBINATION/seed-0/"}


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    for link in links(document):
        if not link.startswith("https://"):
            path, _, anchor = link.partition("#")
            target = (document.parent / path).resolve() if path else document
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


@each_document
def test_files_and_folders_that_are_named_exist(document: Path) -> None:
    named = re.compile(r"[\w.-]+(/[\w.-]+)*(\.(py|ya?ml|md|json|sh|txt|toml)|/)")
    made = IN_A_RUN_FOLDER | IN_A_SPLIT | OF_AN_EXPERIMENT | KEPT
    for span in set(spans(prose(document))) - OF_USERS - IN_THE_BUCKET - made:
        if named.fullmatch(span):
            assert any(path.endswith("/" + span.rstrip("/")) for path in PATHS), span


@each_document
def test_modules_that_are_named_exist(document: Path) -> None:
    for span in set(spans(prose(document))) - OF_USERS:
        if re.fullmatch(rf"({'|'.join(ROOMS)})(\.[a-z_]+)+", span):
            assert find_spec(span) is not None, span


@each_document
def test_tests_that_are_named_exist(document: Path) -> None:
    for span in spans(prose(document)):
        path, is_test, name = span.partition("::")
        if is_test:
            (file,) = (found for found in FILES if f"/{found}".endswith("/" + path))
            assert f"def {name.partition('[')[0]}(" in file.read_text(), span


@cache
def words_of_sources() -> frozenset[str]:
    """Each word of all that is no document and no test."""
    kinds = {".py", ".yaml", ".yml", ".json", ".sh", ".txt", ".toml"}
    files = (path for path in FILES if path.suffix in kinds and (ROOT / "tests") not in path.parents)
    return frozenset(word for path in files for word in re.findall(r"\w+", path.read_text()))


OF_AWS = {
    *("EXCLUSIVE_THING", "ggc_user", "gg_component", "GreengrassV2IoTThingPolicy", "NOTIFY_COMPONENTS"),
    *("DescribeStacks", "GetThingShadow"),
    *("AttachPolicy", "AttachRolePolicy", "DescribeThingGroup"),
    *("runWith", "systemResourceLimits"),
}
PUT_TOGETHER = {"loss_before", "accuracy_before", "accuracy_after", "accuracy_average", "held_out_accuracy"}


@each_document
def test_names_in_code_font_occur_in_the_code(document: Path) -> None:
    named = (span for span in spans(prose(document)) if "::" not in span and not span.endswith(".py"))
    words = {word for span in named for word in re.findall(r"(?<![\w<-])[A-Za-z]\w*(?![\w>*-])", span)}
    ours = {word for word in words - OF_AWS - PUT_TOGETHER if "_" in word or re.search(r"[a-z][A-Z]", word)}
    assert sorted(ours - words_of_sources()) == []


LIFE = "0123abcd"
KEYS = {
    "models": [protocol_names.model_key("digits", 7, LIFE)],
    "their copies, if devices download these": [protocol_names.bfloat16_key("digits", 7, LIFE)],
    "what belongs to them": [
        protocol_names.optimizer_key("digits", 7, LIFE),
        protocol_names.last_updates_key("digits", 7, LIFE),
        protocol_names.ema_key("digits", 7, LIFE),
    ],
    "intermediate sums": [protocol_names.partial_key("digits", 7, "...", LIFE).removesuffix("...") + "..."],
    "updates": [protocol_names.update_key("digits", 7, "pi-7", LIFE)],
    "assignment": [protocol_names.shadow_name("digits")],
    "round's state": [protocol_names.round_topic("digits")],
    "hello": [protocol_names.hello_topic("digits", "pi-7")],
}


def test_the_contract_has_the_keys_and_topics_that_are_built() -> None:
    rows = {what: where for what, where in table("docs/architecture.md", "what", "where").rows if what in KEYS}
    assert rows.keys() == KEYS.keys()
    for what, built in KEYS.items():
        listed = [
            span.replace("<f>", "digits")
            .replace("<life>", LIFE)
            .replace("<round:08d>", f"{7:08d}")
            .replace("<thing>", "pi-7")
            for span in spans(rows[what])
        ]
        assert listed[: len(built)] == built


TEMPLATE = (ROOT / "cloud" / "template.yaml").read_text()


def test_metrics_and_alarms_are_listed_as_they_are() -> None:
    listed = {what: spans(where) for what, where in table("docs/operating.md", "what", "where").rows}
    named = [*metrics.OF_EVERY_INVOCATION, *(name for own in metrics.OF_FUNCTION.values() for name in own)]
    assert listed["metrics of the functions"] == ["fedgrass", "function", *named]
    assert listed["metrics of a federation"] == ["fedgrass", "federation", *metrics.OF_FEDERATION]
    queries = re.findall(r"^      Name: !Sub \$\{AWS::StackName\}/(.+)$", TEMPLATE, re.MULTILINE)
    assert [query.removeprefix("fedgrass/") for query in listed["saved queries"]] == queries
    alarms = re.findall(r"^  (\w+):\n    Type: AWS::CloudWatch::Alarm", TEMPLATE, re.MULTILINE)
    assert set(listed["alarms"]) == set(alarms)
    explained = [spans(alarm)[0] for alarm, *_ in table("docs/operating.md", "alarm", "what has happened").rows]
    assert explained == alarms
    assert listed["functions' logs"] == [
        f"/fedgrass/fedgrass-{name}" for name in re.findall(r"FunctionName: !Sub \$\{AWS::StackName\}-(\w+)", TEMPLATE)
    ]


def test_resources_of_the_stack_that_commands_name_are_in_its_template() -> None:
    text = " ".join((ROOT / "docs" / "operating.md").read_text().split())
    resources = re.findall(r"--logical-resource-id (\w+)", text)
    assert resources
    assert all(f"\n  {name}:\n    Type:" in TEMPLATE for name in resources)


def test_what_deploy_prints_is_what_is_attached_to_devices() -> None:
    named = set(re.findall(r"<(device_\w+)>", (ROOT / "docs" / "operating.md").read_text()))
    assert named == {"device_policy_arn", "device_iot_policy_name"}
    assert named <= set(Deployment.__struct_fields__)


def test_the_checks_of_the_doctor_are_listed_in_their_order() -> None:
    listed = [spans(checks) for _, checks in table("docs/operating.md", "of", "checks").rows]
    made = (examination.OF_ACCOUNT, examination.OF_STACK, examination.OF_GROUP, examination.OF_DEVICE)
    assert listed == [[check.__name__ for check in checks] for checks in made]
