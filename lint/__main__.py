"""python -m lint TEMPLATE: ends with 1 if something in the template has to be mended. Asks nobody on the network."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import parliament
import yaml

from lint.findings import Finding, verdict
from lint.policy_documents import policy_documents
from lint.short_forms import ShortForms

_FLAWED = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:NoSuchAction", "Resource": "*"}]}


def of_checkov(template: Path) -> Iterator[Finding]:
    """What checkov finds in the resources."""
    command = [sys.executable, "-W", "ignore", "-m", "checkov.main", "--framework", "cloudformation", "--skip-download"]
    run = subprocess.run(
        [*command, "--quiet", "--compact", "--output", "json", "--file", str(template)],
        capture_output=True,
        text=True,
        check=False,
    )
    report: dict[str, Any] = json.loads(run.stdout) if run.stdout else {}
    if not report.get("summary", {}).get("passed") or report["summary"]["parsing_errors"]:
        raise RuntimeError(f"checkov could not read {template}: {run.stdout} {run.stderr}")
    for failed in report["results"]["failed_checks"]:
        yield Finding(failed["check_id"], failed["resource"].rpartition(".")[2], failed["check_name"])


def of_parliament(place: str, document: dict[str, Any]) -> Iterator[Finding]:
    """What parliament finds in one policy."""
    for found in parliament.analyze_policy_string(json.dumps(document)).findings:
        yield Finding(found.issue, place, f"{parliament.enhance_finding(found).title}: {found.detail}")


def main() -> None:
    """The command line."""
    path = Path(sys.argv[1])
    template = yaml.load(path.read_text(), ShortForms)  # noqa: S506 - a safe loader
    if not list(of_parliament("", _FLAWED)):
        raise RuntimeError("parliament finds nothing wrong with an action that there is not")
    findings = list(of_checkov(path))
    for place, document in policy_documents(template):
        findings += of_parliament(place, document)
    wrong = list(verdict(findings))
    sys.stdout.writelines(f"{path}: {line}\n" for line in wrong)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
