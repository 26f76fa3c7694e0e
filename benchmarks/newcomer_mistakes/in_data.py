"""Mistakes in load_data(), and in what it gives."""

from benchmarks.newcomer_mistakes.mistake import TASK, Mistake, task

_LOAD = "    images = torch.from_numpy"
_IMAGES = 'torch.from_numpy(np.load(directory / "images.npy"))'
_LABELS = 'torch.from_numpy(np.load(directory / "labels.npy"))'
_DATA = "Data(TensorDataset(images[:40], labels[:40]), TensorDataset(images[40:], labels[40:]))"


DATA: list[Mistake] = [
    Mistake(
        "no arguments",
        task("def load_data(directory: Path, client: Client)", "def load_data()"),
        ("can't be called", "def load_data(directory, client):"),
        "def load_data()",
    ),
    Mistake(
        "one argument",
        task("(directory: Path, client: Client)", "(directory: Path)"),
        ("can't be called", "def load_data(directory, client):"),
        "def load_data(directory: Path)",
    ),
    Mistake(
        "a tuple",
        task(f"return {_DATA}", "return TensorDataset(images, labels), TensorDataset(images, labels)"),
        ("returned tuple", "return Data(train, test)"),
        "return TensorDataset",
    ),
    Mistake(
        "tensors",
        task(f"return {_DATA}", "return images, labels"),
        ("returned tuple", "Data(TensorDataset(inputs, labels))"),
        "return images, labels",
    ),
    Mistake(
        "a dataset",
        task(f"return {_DATA}", "return TensorDataset(images, labels)"),
        ("returned TensorDataset", "return Data(dataset)"),
        "return TensorDataset",
    ),
    Mistake(
        "a loader",
        task(f"return {_DATA}", "return torch.utils.data.DataLoader(TensorDataset(images, labels))"),
        ("returned DataLoader", "dataset"),
        "return torch.utils",
    ),
    Mistake(
        "a loader in Data",
        task(f"return {_DATA}", "return Data(torch.utils.data.DataLoader(TensorDataset(images, labels), 8))"),
        ("train is a DataLoader", ".dataset"),
        "return Data",
    ),
    Mistake(
        "tensors in Data",
        task(f"return {_DATA}", "return Data(images, labels)"),
        ("train is a Tensor", "TensorDataset(inputs, labels)"),
        "return Data",
    ),
    Mistake(
        "a pair in Data",
        task(f"return {_DATA}", "return Data((images, labels))"),
        ("train is a tuple", "TensorDataset(inputs, labels)"),
        "return Data",
    ),
    Mistake(
        "nothing", task(f"return {_DATA}", _DATA), ("returned NoneType", "return Data(train, test)"), "def load_data"
    ),
    Mistake(
        "inputs alone",
        task(f"return {_DATA}", "return Data(TensorDataset(images))"),
        ("1 parts", "(input, label)"),
        "return Data",
    ),
    Mistake(
        "no examples",
        task(f"return {_DATA}", "return Data(TensorDataset(images[:0], labels[:0]))"),
        ("no training examples", "images.npy"),
        "return Data",
    ),
    Mistake(
        "different numbers",
        task(f"return {_DATA}", "return Data(TensorDataset(images, labels[:9]))"),
        ("Size mismatch", "as many"),
        "return Data",
    ),
    Mistake(
        "a file that is not there",
        task("images.npy", "image.npy"),
        ("FileNotFoundError", "did you mean images.npy?", "labels.npy"),
        "image.npy",
    ),
    Mistake(
        "a path of the laptop",
        task('directory / "images.npy"', '"/home/me/data/images.npy"'),
        ("FileNotFoundError", "directory / 'images.npy'"),
        "/home/me",
    ),
    Mistake(
        "a relative path",
        task('directory / "images.npy"', '"images.npy"'),
        ("FileNotFoundError", "directory / 'images.npy'"),
        'np.load("images.npy")',
    ),
    Mistake(
        "a path that this machine has",
        task(
            'np.load(directory / "images.npy")', 'np.load(Path(__file__).parents[1] / "clients/device-001/images.npy")'
        ),
        ("which no device has", "directory / the file's name"),
        "device-001",
        "warning",
    ),
    Mistake("float labels", task(_LABELS, f"{_LABELS}.float()"), ("torch.float32", "labels.long()"), "return Data"),
    Mistake(
        "one-hot labels", task(_LABELS, f"nn.functional.one_hot({_LABELS})"), ("[16, 3]", "argmax(1)"), "return Data"
    ),
    Mistake("labels in a column", task(_LABELS, f"{_LABELS}.unsqueeze(1)"), ("[16, 1]", "squeeze(1)"), "return Data"),
    Mistake("labels from 1", task(_LABELS, f"{_LABELS} + 1"), ("the label 3", "0 to 2", "subtract 1"), "return Data"),
    Mistake("labels below 0", task(_LABELS, f"{_LABELS} - 1"), ("the label -1", "counted from 0"), "return Data"),
    Mistake(
        "numbers to predict", task(_LABELS, f"{_LABELS} * 0.37"), ("torch.float32", "numbers to predict"), "return Data"
    ),
    Mistake(
        "no dimension for channels",
        task(_IMAGES, f"{_IMAGES}.squeeze(1)"),
        ("[16, 8, 8]", "unsqueeze(1)"),
        "self.conv(x)",
    ),
    Mistake(
        "channels last",
        {
            "task.py": TASK.replace(_IMAGES, f"{_IMAGES}.permute(0, 2, 3, 1).repeat(1, 1, 1, 3)").replace(
                "nn.Conv2d(1", "nn.Conv2d(3"
            )
        },
        ("[16, 8, 8, 3]", "channels come last", "permute(0, 3, 1, 2)"),
        "self.conv(x)",
    ),
    Mistake("uint8 pictures", task(_IMAGES, f"{_IMAGES}.byte()"), ("torch.uint8", ".float()", "255"), "self.conv(x)"),
    Mistake("float64 inputs", task(_IMAGES, f"{_IMAGES}.double()"), ("torch.float64", ".float()"), "self.conv(x)"),
    Mistake(
        "inputs of 0 to 255", task(_IMAGES, f"{_IMAGES} * 255"), ("as large as", "scale"), "return Data", "warning"
    ),
    Mistake(
        "nan among the inputs",
        task(_LOAD, _LOAD).copy() | task(f"    return {_DATA}", f"    images[7] = torch.nan\n    return {_DATA}"),
        ("training example 7", "nan"),
        "return Data",
    ),
    Mistake(
        "data on a GPU",
        task(f"return {_DATA}", f"return {_DATA.replace('images[:40]', 'images[:40].cuda()')}"),
        ("may have no GPU",),
        "cuda()",
    ),
    Mistake("a name misspelt", task("labels[40:]))", "lables[40:]))"), ("'lables' is not defined", "labels"), "lables"),
    Mistake(
        "the name of the device",
        task(_LOAD, "    print(client.name)\n" + _LOAD),
        ("no attribute 'name'", "Client has thing, federation"),
        "client.name",
    ),
    Mistake(
        "pictures that are no tensors",
        task(f"return {_DATA}", "from PIL import Image\n\n    return Data([(Image.new('L', (8, 8)), 0)] * 20)"),
        ("default_collate", "to_tensor(picture)"),
        "return Data",
    ),
    Mistake(
        "text among the numbers",
        task(_LOAD, '    torch.tensor([float(x) for x in "label,1,2".split(",")])\n' + _LOAD),
        ("could not convert string to float", "header"),
        "float(x)",
    ),
    Mistake(
        "os._exit in load_data",
        task(_LOAD, "    import os\n    os._exit(0)\n" + _LOAD),
        ("load_data()", "ended, with status 0"),
        "os._exit(0)",
        breaks=True,
    ),
]
