"""Mistakes in build_model() and in the model."""

from benchmarks.newcomer_mistakes.mistake import Mistake, task

MODEL: list[Mistake] = [
    Mistake(
        "the class in place of a model",
        task("return Net()", "return Net"),
        ("returned type", "not its class: Net()"),
        "return Net",
    ),
    Mistake(
        "nothing returned", task("return Net()", "Net()"), ("returned NoneType", "return model"), "def build_model"
    ),
    Mistake(
        "arguments",
        task("def build_model():", "def build_model(classes):"),
        ("can't be called", "def build_model():"),
        "def build_model(classes)",
    ),
    Mistake(
        "an argument forgotten",
        task("return Net()", "return nn.Linear(3)"),
        ("missing 1 required positional argument", "compare the call"),
        "nn.Linear(3)",
    ),
    Mistake(
        "the model on a GPU",
        task("return Net()", 'return Net().to("cuda")'),
        ("may have no GPU",),
        '.to("cuda")',
    ),
    Mistake(
        "super().__init__() forgotten",
        task("        super().__init__()\n", ""),
        ("cannot assign module before Module.__init__() call", "super().__init__()"),
        "self.conv = nn.Conv2d",
    ),
    Mistake(
        "all parameters frozen",
        task("return Net()", "return Net().requires_grad_(False)"),
        ("no parameter of the model takes gradients",),
        "requires_grad_(False)",
    ),
    Mistake(
        "layers in a plain list",
        task(
            "        self.head = nn.Linear(4 * 8 * 8, 3)",
            "        self.head = nn.Linear(4 * 8 * 8, 3)\n        self.rest = [nn.Linear(3, 3)]",
        ).copy(),
        ("rest", "nn.ModuleList"),
        "return Net()",
        "warning",
    ),
    Mistake(
        "another shape by chance",
        task(
            "return Net()",
            "import time\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3 + time.time_ns() % 1000))",
        ),
        ("build_model() of this device makes",),
        "return nn.Sequential",
    ),
    Mistake(
        "a lazy layer",
        task("return Net()", "return nn.Sequential(nn.Flatten(), nn.LazyLinear(3))"),
        ("has no shape yet", "run the model once"),
        "nn.LazyLinear(3)",
    ),
    Mistake(
        "the wrong number of inputs",
        task("nn.Linear(4 * 8 * 8, 3)", "nn.Linear(128, 3)"),
        ("the layer head, Linear(in_features=128", "[16, 256]", "nn.Linear(256, ...)"),
        "return self.head",
    ),
    Mistake(
        "flattening forgotten",
        task("self.head(x.flatten(1))", "self.head(x)"),
        ("the layer head", "[16, 4, 8, 8]", "flatten"),
        "return self.head(x)",
    ),
    Mistake(
        "the wrong number of channels",
        task("nn.Conv2d(1, 4", "nn.Conv2d(3, 4"),
        ("the layer conv", "[16, 1, 8, 8]", "in_channels are 3"),
        "self.conv(x)",
    ),
    Mistake(
        "forward misspelt",
        task("def forward", "def foward"),
        ("NotImplementedError", "def forward(self, x)"),
        "return Net()",
    ),
    Mistake(
        "softmax at the end",
        task("return self.head(x.flatten(1))", "return torch.softmax(self.head(x.flatten(1)), 1)"),
        ("gives probabilities (softmax)", "last Linear layer"),
        "return Net()",
        "warning",
    ),
    Mistake(
        "forward returns two things",
        task("return self.head(x.flatten(1))", "return self.head(x.flatten(1)), x"),
        ("gives tuple", "scores alone"),
        "return",
    ),
    Mistake(
        "no gradients in forward",
        task("    def forward", "    @torch.no_grad()\n    def forward"),
        ("does not require grad", "torch.no_grad()"),
        "",
    ),
    Mistake(
        "too few outputs",
        task("4 * 8 * 8, 3", "4 * 8 * 8, 2"),
        ("the label 2 of training example 2", "2 classes, 0 to 1", "3 outputs"),
        "return Data",
    ),
    Mistake(
        "one output",
        task("4 * 8 * 8, 3", "4 * 8 * 8, 1"),
        ("shape [16, 1]", "one output for each class"),
        "return Data",
    ),
]
