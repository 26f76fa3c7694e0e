"""Mistakes in loss() and parameters()."""

from benchmarks.newcomer_mistakes.mistake import TASK, Mistake, more, settings

_OWN_LOSS = """def loss(model, batch):
    images, labels = batch
    return nn.functional.cross_entropy(model(images), labels)
"""

_CALIBRATED = settings("  epochs: 2\n", "  epochs: 2\n  logit_calibration: 1\n")


def _loss(old: str, new: str) -> dict[str, str | bytes | None]:
    return more(_OWN_LOSS.replace(old, new))


def _parameters(returned: str) -> dict[str, str | bytes | None]:
    return more(f"def parameters(model):\n    return {returned}\n")


LOSS: list[Mistake] = [
    Mistake(
        "a loss for each example",
        _loss("labels)\n", 'labels, reduction="none")\n'),
        ("loss() of task.py returned a tensor of shape [10]", "by .mean()"),
        "return nn.functional",
    ),
    Mistake(
        "a loss that is a number",
        _loss("labels)\n", "labels).item()\n"),
        ("loss() of task.py returned float", "a tensor, the mean loss"),
        "return nn.functional",
    ),
    Mistake(
        "a loss without gradients",
        _loss("model(images)", "model(images).detach()"),
        ("a tensor without a gradient", ".detach()"),
        "return nn.functional",
    ),
    Mistake(
        "a loss that is not returned",
        _loss("return ", ""),
        ("loss() of task.py returned NoneType", "a tensor, the mean loss"),
        "def loss",
    ),
    Mistake(
        "a loss of right answers",
        _loss("nn.functional.cross_entropy(model(images), labels)", "(model(images).argmax(1) != labels).sum()"),
        ("a tensor of torch.int64", "floating-point"),
        "return (model",
    ),
    Mistake(
        "a loss of outputs and labels",
        more("def loss(outputs, labels):\n    return nn.functional.cross_entropy(outputs, labels)\n"),
        ("must be Tensor, not Net", "loss is given the model and a batch"),
        "cross_entropy(outputs, labels)",
    ),
    Mistake(
        "a loss of torch under this name",
        more("loss = nn.CrossEntropyLoss()\n"),
        ("must be Tensor, not Net", "loss is given the model and a batch"),
        "loss = nn.CrossEntropyLoss()",
    ),
    Mistake(
        "a classifier's setting beside a loss",
        more(_OWN_LOSS) | _CALIBRATED,
        (
            "training.logit_calibration shifts the scores of a classifier",
            "has a loss() or a train() of its own",
            "leave it",
        ),
        file="federation.yaml",
    ),
    Mistake(
        "a classifier's setting beside a train",
        more("def train(model, data, settings):\n    return {}\n") | _CALIBRATED,
        (
            "training.logit_calibration shifts the scores of a classifier",
            "has a loss() or a train() of its own",
            "leave it",
        ),
        file="federation.yaml",
    ),
    Mistake(
        "a number under this name",
        more("loss = 0.0\n"),
        ("loss of task.py is float", "a function loss(model, batch), or have another name"),
        "loss = 0.0",
    ),
    Mistake(
        "a batch that is not taken apart",
        _loss("model(images)", "model(batch)"),
        ("TypeError", "inputs, labels = batch"),
        "self.conv(x)",
    ),
    Mistake(
        "a loss of three arguments",
        _loss("def loss(model, batch)", "def loss(model, images, labels)"),
        ("can't be called", "def loss(model, batch):"),
        "def loss(model, images, labels)",
    ),
    Mistake(
        "a metric named loss",
        _loss("labels)\n", 'labels), {"loss": 1.0}\n'),
        ("a metric named 'loss'", "rename it"),
        "return nn.functional",
    ),
    Mistake(
        "a shape that the loss does not take",
        _loss("labels)\n", "labels.float())\n"),
        ("loss() of task.py", "RuntimeError"),
        "nn.functional.cross_entropy",
    ),
    Mistake(
        "a model that the loss gives another shape",
        _loss("model(images)", "model(images.flatten(1))"),
        ("the layer conv", "64]"),
        "self.conv(x)",
    ),
    Mistake(
        "a pattern that matches nothing",
        _parameters('["haed.*"]'),
        ("returned 'haed.*'", "it has 'conv.weight', "),
        "return [",
    ),
    Mistake(
        "parameters themselves",
        _parameters("list(model.head.parameters())"),
        ("a list with Parameter in it", "names of the state_dict()"),
        "return list",
    ),
    Mistake(
        "a name without its list",
        _parameters('"head.*"'),
        ("parameters() of task.py returned str", "a list of names"),
        'return "head.*"',
    ),
    Mistake("no names at all", _parameters("[]"), ("returned nothing", "a list of names"), "return []"),
    Mistake(
        "nothing that can be trained",
        {
            "task.py": TASK.replace("return Net()", "net = Net()\n    net.head.requires_grad_(False)\n    return net")
            + '\n\ndef parameters(model):\n    return ["head.*"]\n'
        },
        ("chose no parameter that takes gradients", "choose some that build_model() does not freeze"),
        'return ["head.*"]',
    ),
]
