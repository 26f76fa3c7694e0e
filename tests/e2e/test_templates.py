"""Projects of templates, through every real part."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.running import fedgrass


def one_table(clients: Path, folder: Path) -> Path:
    """What the clients have, as one table that says in a column whose each row is."""
    table = folder / "houses.csv"
    with table.open("w") as file:
        for number, client in enumerate(sorted(clients.iterdir())):
            heading, *rows = (client / "data.csv").read_text().splitlines()
            if number == 0:
                file.write(f"{heading},region\n")
            file.writelines(f"{row},{client.name}\n" for row in rows)
    return table


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("template", "metric", "reached"),
    [
        ("blank", "accuracy", lambda value: value >= 0.8),
        ("sensor", "accuracy", lambda value: value >= 0.25),
        ("tabular", "error_mpg", lambda value: value <= 4.5),
        ("text", "accuracy", lambda value: value >= 0.5),
        ("vision", "accuracy", lambda value: value >= 0.7),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_template_trains_in_the_sandbox(
    template: str, metric: str, reached: Callable[[float], bool], tmp_path: Path
) -> None:
    project = tmp_path / f"my-{template}"
    assert fedgrass("new", str(project), "--template", template).status == 0
    words = ["run", str(project), "--devices", "3", "--rounds", "3", "--out", str(tmp_path / "run"), "--json"]
    if template == "tabular":
        words += ["--data", str(one_table(project / "data" / "clients", tmp_path)), "--split", "by:region"]
    ran = fedgrass(*words)
    assert ran.status == 0, ran.error
    assert ran.result["rounds"] == 3
    assert reached(ran.result["history"][-1]["metrics"][metric])
