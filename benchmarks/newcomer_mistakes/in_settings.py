"""Mistakes in federation.yaml, and in how it is named."""

from benchmarks.newcomer_mistakes.mistake import SETTINGS, Mistake, settings

_FILE = "federation.yaml"


def _of(name: str, old: str, new: str, told: tuple[str, ...], where: str | None = None) -> Mistake:
    """The sound file with a piece replaced; the line quoted is that of the new piece, if it is not said otherwise."""
    return Mistake(name, settings(old, new), told, new.strip() if where is None else where, file=_FILE)


def _with(name: str, line: str, told: tuple[str, ...], where: str | None = None, begins: str = "") -> Mistake:
    """The sound file with something at its end."""
    files: dict[str, str | bytes | None] = {_FILE: f"{SETTINGS}{begins}{line}\n"}
    return Mistake(name, files, told, line.strip().split("\n")[0] if where is None else where, file=_FILE)


def _whole(name: str, content: str | bytes, told: tuple[str, ...], where: str = "") -> Mistake:
    return Mistake(name, {_FILE: content}, told, where, file=_FILE)


MISTAKES: list[Mistake] = [
    _of("a field misspelt", "rounds:", "round:", ("no such field", "did you mean rounds?")),
    _of(
        "a field within misspelt",
        "learning_rate",
        "learnin_rate",
        ("no such field in training", "did you mean learning_rate?"),
    ),
    _of("lr", "learning_rate", "lr", ("no such field in training", "did you mean learning_rate?")),
    _of("camel case", "batch_size", "batchSize", ("no such field in training", "did you mean batch_size?")),
    _of(
        "a field required and not there",
        "  batch_size: 16\n",
        "",
        ("training.batch_size: is missing", "a whole number from 1"),
        "training:",
    ),
    _whole(
        "fields of training at the left margin",
        "name: shapes\nepochs: 2\nbatch_size: 16\nlearning_rate: 0.1\n",
        ("did you mean training.epochs?",),
        "epochs: 2",
    ),
    _of(
        "a field of the file within training",
        "  epochs: 2\n",
        "  epochs: 2\n  rounds: 3\n",
        ("did you mean rounds, at the left margin?",),
        "rounds: 3",
    ),
    _with(
        "a dotted name",
        "training.momentum: 0.9",
        ("no such field", "write momentum on a line of its own below training:"),
    ),
    _with("clients, as others call it", "clients: 10", ("no such field", "did you mean selection.cohort?")),
    _with("a deadline without its unit", "deadline: 600", ("no such field", "did you mean deadline_s?")),
    _of("a number in quotes", "0.1", '"0.1"', ("a number above 0", "without quotes"), "learning_rate"),
    _of("a decimal comma", "0.1", "0,1", ("did you mean 0.1?",), "learning_rate"),
    _of("a learning rate of 0", "0.1", "0", ("learning_rate: 0: use a number above 0",), "learning_rate"),
    _of("a learning rate in percent", "0.1", "10%", ("did you mean 0.1?",), "learning_rate"),
    _of("half an epoch", "epochs: 2", "epochs: 0.5", ("epochs: 0.5: use a whole number from 1",)),
    _of("a word for a number", "16", "sixteen", ('"sixteen": use a whole number',), "batch_size"),
    _of("rounds for ever", "rounds: 3", "rounds: all", ("use a whole number from 1",)),
    _of(
        "epochs and steps",
        "  epochs: 2\n",
        "  epochs: 2\n  steps: 10\n",
        ("either epochs or steps", "a step is one batch"),
        "steps: 10",
    ),
    _of("neither epochs nor steps", "  epochs: 2\n", "", ("is without epochs and steps", "epochs: 1"), "training:"),
    _with("a momentum of 1", "  momentum: 1.0", ("momentum: 1: use a number from 0, below 1",)),
    _with("more than all", "target: 120%", ("a share of them above 0%, up to 100%",)),
    _with("a share as a fraction", "target: 0.8", ("did you mean 80%?",)),
    _with("a share in words", "target: 80 percent", ("did you mean 80%?",)),
    _with("a quorum over the target", "quorum: 80%", ("quorum: 80% is more than target, 50%",), begins="target: 50%\n"),
    _with(
        "a quorum over the cohort",
        "quorum: 10",
        ("quorum: 10 is more than selection.cohort, 5",),
        begins="selection: {policy: random, cohort: 5}\n",
    ),
    _with(
        "a cohort that is too large",
        "selection: {policy: random, cohort: 5000}",
        ("more than the 1500", "ask for fewer"),
    ),
    _with("a cohort of all", "selection: {policy: all, cohort: 5}", ("which does not heed it", "choose balanced")),
    _with("a policy misspelt", "selection: {policy: rnadom}", ("did you mean random?",)),
    _with("a policy in place of fields", "selection: random", ("use fields with values: {policy: random}",)),
    _with(
        "fedavg as a rule", "averaging: {rule: fedavg}", ("use one of", "did you mean weighted?", "averaging.optimizer")
    ),
    _with("an optimizer without its name", "averaging: {optimizer: fedadam}", ("write {name: fedadam}",)),
    _with("an optimizer that is none", "averaging: {optimizer: {name: adam}}", ("did you mean fedadam?",)),
    _with("an optimizer for devices", "  optimizer: sgd", ("no such field in training", "averaging.optimizer")),
    _with(
        "too few clients for krum",
        "averaging: {rule: krum, byzantine: 2}",
        ("krum needs 7",),
        begins="selection: {policy: random, cohort: 4}\n",
    ),
    _with("trim without its rule", "averaging: {trim: 0.2}", ("which does not heed it", "choose trimmed_mean")),
    _with(
        "custom without policies.py",
        "completion: custom",
        ("asks for custom is_complete", "there is no", "policies.py"),
        "",
    ),
    Mistake(
        "custom without its function",
        {_FILE: f"{SETTINGS}completion: custom\n", "policies.py": "def is_compleet(round):\n    return True\n"},
        ("has no function is_complete", "Rename is_compleet"),
        "def is_compleet",
        file="policies.py",
    ),
    Mistake(
        "policies.py that is no Python",
        {_FILE: f"{SETTINGS}completion: custom\n", "policies.py": "def is_complete(round)\n    return True\n"},
        ("expected ':'",),
        "def is_complete(round)",
        file="policies.py",
    ),
    Mistake(
        "a policy that returns nothing",
        {
            _FILE: f"{SETTINGS}selection: {{policy: custom, cohort: 2}}\n",
            "policies.py": "def choose_clients(clients, cohort, round_number):\n    clients[:cohort]\n",
        },
        ("choose_clients returned a wrong value", "names of clients"),
        "def choose_clients",
        file="policies.py",
    ),
    Mistake(
        "a policy that asks for what clients lack",
        {
            _FILE: f"{SETTINGS}selection: {{policy: custom, cohort: 2}}\n",
            "policies.py": "def choose_clients(clients, cohort, round_number):\n    return [c.name for c in clients]\n",
        },
        ("no attribute 'name'", "Client has thing"),
        "return [c.name",
        file="policies.py",
    ),
    _of("a name of other letters", "shapes", "My Shapes", ("use 1 to 40 of a-z", "did you mean my-shapes?"), "name:"),
    _of("a name that is a number", "shapes", "2024", ("use a text", "in quotes"), "name:"),
    _of("no name", "name: shapes\n", "", ("name: is missing",), ""),
    _with("a negative deadline", "deadline_s: -5", ("use a number from 1",)),
    _with("a deadline with a unit", "deadline_s: 10m", ("did you mean 600?",)),
    _whole("no training", "name: shapes\nrounds: 3\n", ("training: is missing", "batch_size")),
    _whole(
        "a list in place of fields",
        "name: shapes\ntraining:\n  - epochs: 2\n  - batch_size: 16\n",
        ("without the '-'",),
        "training:",
    ),
    _of("a tab", "  epochs", "\tepochs", ("a tab: YAML is indented by spaces",), "epochs"),
    _with("a field twice", "rounds: 5", ("rounds is here twice, first on line 2",)),
    _of("no space after the colon", "rounds: 3", "rounds:3", ("a colon and a space",)),
    _of("an equals sign", "rounds: 3", "rounds = 3", ("a colon and a space",)),
    _of("a line out of its column", "  batch_size", " batch_size", ("begin in the same column",), "batch_size"),
    _with("a bracket that is not closed", "selection: {policy: random", ("a { is not closed",)),
    _of("a quote that is not closed", "shapes", '"shapes', ("a quote is not closed",), "name:"),
    _of("a no-break space", "  epochs", "\u00a0\u00a0epochs", ("no-break space",), "epochs"),
    _whole("an empty file", "", ("it is empty", "name: my-federation")),
    _whole("no fields at all", "shapes\n", ("fields with values",)),
    _whole("not UTF-8", SETTINGS.replace("shapes", "shapes # caf\u00e9").encode("latin-1"), ("not in UTF-8",), "name:"),
    _with(
        "an encoding of another name",
        "encoding: fp16",
        ("use one of bfloat16, float32, int8", "did you mean bfloat16?"),
    ),
    _with("a model that is not there", "initial_model: model.pt", ("initial_model: there is no file",)),
    _with("a task that is not there", "task: nowhere", ("there is no folder",)),
    _with("the task's file for its folder", "task: task.py", ("is a file", "its folder")),
    Mistake(
        "another name of the file",
        {_FILE: None, "federation.yml": SETTINGS},
        ("no such file", "did you mean federation.yml?"),
        file=_FILE,
    ),
    Mistake("no such file", {_FILE: None}, ("no such file",), file=_FILE),
    Mistake("a folder that is not there", {}, ("no such file or folder",), file="nowhere", argument="nowhere"),
    Mistake("task.py for the folder", {}, ("this is no federation.yaml", "name the folder"), argument="task.py"),
]
