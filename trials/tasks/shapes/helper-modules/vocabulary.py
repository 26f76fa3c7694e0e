"""What lies beside the task's code."""

import json
import pkgutil
from pathlib import Path

LABELS: list[dict[str, list[str]]] = json.loads(Path(__file__).with_name("labels.json").read_text())
WORDS: list[str] = (pkgutil.get_data("texts", "words.txt") or b"").decode().split()
