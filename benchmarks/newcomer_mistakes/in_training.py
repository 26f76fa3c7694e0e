"""Mistakes in train(), evaluate(), describe() and ready()."""

from benchmarks.newcomer_mistakes.mistake import Mistake, more

_TRAIN = "def train(model, data, settings):\n"
_OWN = """    optimizer = torch.optim.SGD(model.parameters(), lr=settings.learning_rate)
    loss_of = nn.CrossEntropyLoss()
    for images, labels in torch.utils.data.DataLoader(data.train, settings.batch_size):
        loss = loss_of(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""


TRAINING: list[Mistake] = [
    Mistake(
        "train returns nothing",
        more(f"{_TRAIN}{_OWN}"),
        ("train() of task.py returned NoneType", "or {} for none"),
        "def train",
    ),
    Mistake(
        "train returns a tensor",
        more(f"{_TRAIN}{_OWN}    return loss\n"),
        ("returned Tensor", '{"loss": loss}'),
        "return loss",
    ),
    Mistake(
        "train returns the model",
        more(f"{_TRAIN}{_OWN}    return model\n"),
        ("returned Net", "in place"),
        "return model",
    ),
    Mistake(
        "train returns all losses",
        more(f"{_TRAIN}{_OWN}" + '    return {"loss": torch.ones(4)}\n'),
        ("'loss' is torch.Tensor of shape [4]", "mean"),
        '{"loss"',
    ),
    Mistake(
        "train takes two arguments",
        more("def train(model, data):\n    return {}\n"),
        ("can't be called", "def train(model, data, settings):"),
        "def train(model, data)",
    ),
    Mistake(
        "settings.lr",
        more(f"{_TRAIN}{_OWN}    return {{}}\n".replace("settings.learning_rate", "settings.lr")),
        ("no attribute 'lr'", "did you mean learning_rate?"),
        "settings.lr",
    ),
    Mistake(
        "train trains a copy",
        more(f"import copy\n\n\n{_TRAIN}    model = copy.deepcopy(model)\n{_OWN}    return {{}}\n"),
        ("changed nothing in the model", "in place"),
        "return {}",
        "warning",
    ),
    Mistake(
        "train has no end",
        more(f"{_TRAIN}    while True:\n        pass\n"),
        ("train() was cut off", "settings.steps"),
        "",
        "warning",
    ),
    Mistake(
        "settings.steps is None",
        more(f"{_TRAIN}    for step in range(settings.seeds):\n        pass\n    return {{}}\n"),
        ("no attribute 'seeds'", "did you mean seed?"),
        "settings.seeds",
    ),
    Mistake(
        "inputs not flattened in train",
        more(f"{_TRAIN}{_OWN}    return {{}}\n".replace("model(images)", "model(images.flatten(1))")),
        ("the layer conv", "[16, 64]"),
        "self.conv(x)",
    ),
    Mistake(
        "detach in train",
        more(f"{_TRAIN}{_OWN}    return {{}}\n".replace("model(images)", "model(images).detach()")),
        ("does not require grad", ".detach()"),
        "loss.backward()",
    ),
    Mistake(
        "evaluate returns a number",
        more("def evaluate(model, data):\n    return 0.5\n"),
        ("evaluate() of task.py returned float", '{"loss": loss}'),
        "return 0.5",
    ),
    Mistake(
        "evaluate returns nan",
        more('def evaluate(model, data):\n    return {"accuracy": float("nan")}\n'),
        ("gives accuracy nan",),
        "return",
        "warning",
    ),
    Mistake(
        "evaluate divides by 0",
        more('def evaluate(model, data):\n    right, seen = 0, 0\n    return {"accuracy": right / seen}\n'),
        ("ZeroDivisionError", "empty"),
        "right / seen",
    ),
    Mistake(
        "describe returns too much",
        more("def describe(model, data):\n    return {str(i): i for i in range(9000)}\n"),
        ("a report of", "return fewer numbers"),
        "return {str(i)",
    ),
    Mistake(
        "ready returns nothing",
        more("def ready(device):\n    print(device.load)\n"),
        ("ready() of task.py", "True or False"),
        "def ready",
    ),
    Mistake(
        "ready says no",
        more("def ready(device):\n    return device.battery_percent == 142\n"),
        ("ready() returned False",),
        "return device",
        "warning",
    ),
    Mistake(
        "ready asks for what is not told",
        more("def ready(device):\n    return device.battery > 20\n"),
        ("no attribute 'battery'", "battery_percent"),
        "device.battery",
    ),
]
