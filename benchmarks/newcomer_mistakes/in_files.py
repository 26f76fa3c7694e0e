"""Mistakes in how task.py is written, and in the files and packages beside it."""

from benchmarks.newcomer_mistakes.mistake import TASK, Mistake, more, task

READING: list[Mistake] = [
    Mistake(
        "a colon forgotten", task("def build_model():", "def build_model()"), ("expected ':'",), "def build_model()"
    ),
    Mistake("a bracket forgotten", task("return Net()", "return Net("), ("was never closed",), "return Net("),
    Mistake(
        "tabs among spaces",
        task("    return Net()", "    model = Net()\n\treturn model"),
        ("inconsistent use of tabs", "spaces alone"),
        "return model",
    ),
    Mistake(
        "wrong indentation",
        task("    return Net()", "return Net()"),
        ("expected an indented block", "four spaces"),
        "return Net()",
    ),
    Mistake(
        "not UTF-8",
        {"task.py": TASK.replace("Shapes", "Café").encode("latin-1")},
        ("utf-8", "save the file in UTF-8"),
        "Caf",
    ),
    Mistake("UTF-16", {"task.py": TASK.encode("utf-16")}, ("UTF-16", "save the file in UTF-8")),
    Mistake("a notebook as task.py", {"task.py": '{"cells": [], "metadata": {}}'}, ("notebook", "nbconvert")),
    Mistake(
        "a notebook beside it",
        {"task.py": None, "task.ipynb": '{"cells": []}'},
        ("has no task.py", "task.ipynb is a notebook"),
        file="",
    ),
    Mistake(
        "another name", {"task.py": None, "model.py": TASK}, ("has no task.py", "rename model.py to task.py"), file=""
    ),
    Mistake("an empty file", {"task.py": ""}, ("has no function build_model()", "def build_model(): ...")),
    Mistake(
        "build_model misspelt",
        task("def build_model", "def bulid_model"),
        ("has no function build_model()", "Rename bulid_model"),
        "def bulid_model",
    ),
    Mistake(
        "load_data in other letters",
        task("def load_data", "def loadData"),
        ("has no function load_data()", "Rename loadData"),
        "def loadData",
    ),
    Mistake(
        "functions in a class",
        task("def build_model():\n    return Net()", "class Task:\n    def build_model(self):\n        return Net()"),
        ("has no function build_model()", "to the left margin"),
        "def build_model(self)",
    ),
    Mistake(
        "evaluate misspelt",
        more("def evalute(model, data):\n    return {}\n"),
        ("nothing calls evalute()", "did you mean evaluate"),
        "def evalute",
        "warning",
    ),
    Mistake(
        "a name not imported",
        task("from torch import nn\n", ""),
        ("name 'nn' is not defined", "from torch import nn"),
        "class Net(nn.Module)",
    ),
    Mistake(
        "a package misspelt",
        task("import numpy as np", "import nunpy as np"),
        ("no package nunpy", "did you mean numpy?"),
        "import nunpy",
    ),
    Mistake(
        "a package that is not installed",
        task("import numpy as np", "import numpy as np\nimport sklearn"),
        ("package sklearn", "devices do not have it", "scikit-learn"),
        "import sklearn",
    ),
    Mistake(
        "a package that devices do not have",
        task("import numpy as np", "import numpy as np\nimport rich"),
        ("package rich", "installed here, but devices do not have it"),
        "import rich",
    ),
    Mistake(
        "files that import each other",
        {
            **task(
                "from fedgrass.task import Client, Data",
                "from fedgrass.task import Client, Data\nfrom nets import make",
            ),
            "nets.py": "from task import Net\n\n\ndef make():\n    return Net()\n",
        },
        ("Net", "import each other", "third file"),
        "from task import Net",
        file="nets.py",
    ),
    Mistake("a file named random.py", {"random.py": "x = 1\n"}, ("named like the module random", "rename it"), file=""),
    Mistake("a folder named torch", {"torch/__init__.py": ""}, ("named like the module torch", "rename it"), file=""),
    Mistake(
        "training at the left margin",
        more("model = build_model()\nfor epoch in range(3):\n    model(torch.zeros(1, 1, 8, 8))\n"),
        ("runs whenever the file is imported", "if __name__"),
        "for epoch in range(3)",
        "warning",
    ),
    Mistake(
        "arguments of a script",
        more('import argparse\np = argparse.ArgumentParser()\np.add_argument("lr")\nargs = p.parse_args()\n'),
        ("SystemExit", "no arguments are given"),
        "args = p.parse_args()",
    ),
    Mistake(
        "a question to the user",
        more('rate = float(input("learning rate? "))\n'),
        ("EOFError", "nobody can answer on a device"),
        "input(",
    ),
    Mistake("sys.exit", more("import sys\nsys.exit(1)\n"), ("SystemExit", "may end the process"), "sys.exit(1)"),
    Mistake("os._exit", more("import os\nos._exit(3)\n"), ("ended, with status 3",), "os._exit(3)", breaks=True),
    Mistake(
        "a crash",
        more("import ctypes\nctypes.string_at(0)\n"),
        ("crashed (SIGSEGV)",),
        "ctypes.string_at(0)",
        breaks=True,
    ),
    Mistake("a loop without an end", more("while True:\n    pass\n"), ("had not ended",), "while True", breaks=True),
    Mistake(
        "a flood of output",
        task("    return Net()", "    for i in range(20000):\n        print('building', i)\n    return Net()"),
        ("has printed", "print less"),
        severity="warning",
        file="",
        breaks=True,
    ),
    Mistake(
        "a file of the laptop, at the import",
        more('LABELS = open("/nowhere/labels.txt").read()\n'),
        ("FileNotFoundError", "Path(__file__).parent"),
        "/nowhere/labels.txt",
    ),
    Mistake(
        "a key in the folder",
        {"aws.txt": "aws_secret_access_key = abc\n"},
        ("looks like a key", "move it out"),
        severity="warning",
        file="aws.txt",
    ),
    Mistake(
        "data in the folder",
        {"train.csv": b"0," * 15_000_000},
        ("30 MB", "each device downloads"),
        severity="warning",
        file="train.csv",
    ),
]


PACKAGES: list[Mistake] = [
    Mistake(
        "a package without its version",
        {"requirements.txt": "# for metrics\nrich\n"},
        ("which version?", "Here it is rich=="),
        "rich",
        file="requirements.txt",
    ),
    Mistake(
        "a package that devices have in another version",
        {"requirements.txt": "numpy==1.0.0\n"},
        ("com.fedgrass.Runtime has", "leave it out"),
        "numpy==1.0.0",
        file="requirements.txt",
    ),
    Mistake(
        "a package listed for devices alone",
        task("import numpy as np", "import numpy as np\nimport sklearn")
        | {"requirements.txt": "scikit-learn==1.7.2\n"},
        ("it is not installed here", "pip install scikit-learn==1.7.2"),
        "import sklearn",
    ),
]
