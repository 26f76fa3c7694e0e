"""Every configuration key of the components: from their recipes, and from the struct that the agent makes of one."""

from pathlib import Path
from typing import Any

import yaml

from components.client.agent.configuration import Configuration
from website.markdown import code, prose, table
from website.reference.documents import meanings
from website.reference.fields import listed

_ROOT = Path(__file__).parents[2]
RECIPES = {
    "com.fedgrass.Client": _ROOT / "recipe.yaml",
    "com.fedgrass.Runtime": _ROOT / "components" / "runtime" / "recipe.yaml",
}
ACCESS = "accessControl"


def recipe(component: str) -> Any:
    """The recipe of a component."""
    return yaml.safe_load(RECIPES[component].read_text())


def defaults(component: str) -> dict[str, Any]:
    """Its configuration if a deployment says nothing."""
    found: dict[str, Any] = recipe(component)["ComponentConfiguration"]["DefaultConfiguration"]
    return found


def page() -> str:
    """The page."""
    return "\n".join(
        [
            "# The components' configuration\n",
            "What a deployment may set, in `configurationUpdate`. [Operating](../operating.md#4-the-deployment)",
            "shows one.\n",
            "## com.fedgrass.Client\n",
            listed(Configuration, meanings("operating.md", "configuration")),
            "### What the component may do over MQTT\n",
            "The recipe's `accessControl`. A deployment that replaces it takes the component's connection away.\n",
            table(("operation", "topics"), _permissions()),
            "## com.fedgrass.Runtime\n",
            table(("key", "default", "meaning"), _of_runtime()),
        ]
    )


def _permissions() -> list[tuple[str, str]]:
    (policies,) = defaults("com.fedgrass.Client")[ACCESS].values()
    return [
        (", ".join(map(code, policy["operations"])), ", ".join(map(code, policy["resources"])))
        for policy in policies.values()
    ]


def _of_runtime() -> list[tuple[str, str, str]]:
    """Its keys, with the comments that the recipe has behind them."""
    text = RECIPES["com.fedgrass.Runtime"].read_text()
    rows = []
    for key, value in defaults("com.fedgrass.Runtime").items():
        line = next(line for line in text.splitlines() if line.strip().startswith(f"{key}:"))
        rows.append((code(key), code(str(value)), prose(line.partition(" # ")[2])))
    return rows
