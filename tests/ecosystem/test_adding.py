"""A layer and an optimizer are added to a copy of the package, through the places that the page on
parts of one's own names, and nowhere else: then all tests of the package take them for its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COPIED = ("nnfs_xp", "tests", "docs", "pyproject.toml", "CHANGELOG.md", "README.md")
LEFT = shutil.ignore_patterns("__pycache__", "gallery", "generated", "_build", "former")

LAYER = """
import typing

from nnfs_xp import _checks
from nnfs_xp._rows import as_before, as_rows
from nnfs_xp._typing import Array
from nnfs_xp.layers.base import Layer, Shape
from nnfs_xp.parameters import Gradient, Options, Parameter


class PReLU(Layer):
    "output = inputs where inputs > 0, else slope * inputs, a slope for each feature."

    works_in_half = True

    slope = Parameter()
    dslope = Gradient()

    def __init__(
        self, n_features: int, *, dtype: str = "float32", **options: typing.Unpack[Options]
    ) -> None:
        super().__init__(**options)
        self.n_features = _checks.check_count("n_features", n_features)
        self.create_parameters(dtype, slope=(1, self.n_features))
        self.initialize(None)

    def initialize(self, generator: typing.Any) -> None:
        self.slope[...] = 0.25

    def forward(self, inputs: Array, training: bool = False) -> Array:
        xp = self.check_inputs(inputs, self.n_features)
        output: Array = xp.where(inputs > 0, inputs, self.slope * inputs)
        if training:
            self.keep(output, inputs)
        return output

    def backward(self, dvalues: Array) -> Array:
        xp, inputs = self.recall(dvalues)
        rows, inputs = as_rows(xp, dvalues), as_rows(xp, inputs)
        kernels = self.kernels_for(dvalues)
        dinputs = kernels.prelu_backward(xp, rows, inputs, self.slope, self.dslope)
        self.dinputs = as_before(xp, dinputs, dvalues)
        self.add_penalties()
        return self.dinputs

    @property
    def input_shape(self) -> Shape:
        return (self.n_features,)

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_features(input_shape, self.n_features)
        return input_shape
"""

SPECIFICATION = """
    def prelu_backward(
        self, xp: Namespace, dvalues: Array, inputs: Array, slope: Array, dslope: Array
    ) -> Array:
        below = xp.minimum(inputs, 0.0)
        dslope[...] = xp.sum(dvalues * below, axis=0, keepdims=True)
        dinputs: Array = xp.where(inputs > 0, dvalues, slope * dvalues)
        return dinputs
"""

TWIN = """
    def prelu_backward(
        self, xp: Any, dvalues: Array, inputs: Array, slope: Array, dslope: Array
    ) -> Array:
        np.einsum("ij,ij->j", dvalues, np.minimum(inputs, 0), out=dslope[0])
        return np.where(inputs > 0, dvalues, slope * dvalues)
"""

ONNX_FUNCTION = """
def prelu(graph: Graph, layer: layers.PReLU, inputs: str) -> str:
    return graph.add("PRelu", inputs, graph.parameter("slope"))

"""

TORCH_ROW = """    Row(
        layers.PReLU,
        "PReLU",
        lambda module, wanted: layers.PReLU(module.num_parameters, dtype=wanted.dtype),
        lambda nn, la: nn.PReLU(la.n_features),
        weights={"weight": vector("slope", along=1)},
        layout=Fits(first=as_is, flat="keeps"),  # of axis 1
    ),
"""

KERAS_ROW = """    Row(
        layers.PReLU,
        "PReLU",
        lambda layer, wanted: [layers.PReLU(layer.alpha.shape[0], dtype=wanted.dtype)],
        lambda keras, _, dtype: keras.layers.PReLU(dtype=dtype),
        weights={"slope": "alpha"},
    ),
"""

SECTION = """## PReLU

$$
Y = \\max(X, 0) + s \\odot \\min(X, 0)
$$

```{source} PReLU
```

```python
>>> check_layer(nn.PReLU(4), inputs)

```

"""

BUILD = """def _prelu(dtype: str) -> nn.PReLU:
    layer = nn.PReLU(4, dtype=dtype)
    layer.slope = GAMMA
    return layer


def _torch_prelu(torch: Any) -> Any:
    module = torch.nn.PReLU(4, dtype=torch.float64)
    module.load_state_dict({"weight": torch.tensor(GAMMA[0])})
    return module


"""

CASE = """    LayerCase("PReLU", _prelu, lambda x: np.where(x > 0, x, GAMMA * x), _torch_prelu),
"""

THERE_AND_BACK = """
import numpy as np, torch
import nnfs_xp as nn

model = nn.Sequential(nn.Dense(4, 3), nn.PReLU(3), seed=0)
x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
module = nn.interop.to_torch(model)
print(np.allclose(module(torch.tensor(x)).detach(), model.forward(x), atol=1e-6))
print(np.array_equal(nn.interop.from_torch(module, backend="numpy").forward(x), model.forward(x)))
"""

OPTIMIZER = '''"""Adam with the largest gradient in place of the root of the mean square."""

from typing import Unpack

from nnfs_xp import _checks
from nnfs_xp._typing import Namespace
from nnfs_xp.optimizers.base import Optimizer, Options, State
from nnfs_xp.flat_parameters import Part
from nnfs_xp.schedules import Schedule


class AdaMax(Optimizer):
    """values -= learning_rate / (1 - beta_1**t) * m / u."""

    state_names = ("momentum", "largest")

    def __init__(
        self,
        learning_rate: float | Schedule = 0.002,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = _checks.check_range("beta_1", beta_1, 0, 1)
        self.beta_2 = _checks.check_range("beta_2", beta_2, 0, 1)

    def apply(self, xp: Namespace, flat: Part, state: State) -> None:
        rate = self.current_learning_rate / (1 - self.beta_1 ** (self.iterations + 1))
        flat.backend.kernels.adamax(
            xp,
            flat.values,
            flat.gradients,
            state["momentum"],
            state["largest"],
            rate,
            self.beta_1,
            self.beta_2,
        )
'''

FORMULA = '''
    def adamax(
        self,
        xp: Namespace,
        values: Array,
        g: Array,
        m: Array,
        u: Array,
        rate: float,
        beta_1: float,
        beta_2: float,
    ) -> None:
        """Set m, and u = max(beta_2 * u, abs(g) + 1e-7); values -= rate * m / u."""
        m *= beta_1
        m += (1 - beta_1) * g
        u[...] = xp.maximum(beta_2 * u, xp.abs(g) + 1e-7)
        values -= rate * m / u
'''

STEP = """def _adamax(w: float, g: float, t: int, memory: dict[str, float], _decays: bool) -> float:
    memory["m"] = 0.9 * memory.get("m", 0.0) + 0.1 * g
    memory["u"] = max(0.999 * memory.get("u", 0.0), abs(g) + 1e-7)
    return w - 0.01 / (1 - 0.9**t) * memory["m"] / memory["u"]


"""

OPTIMIZER_CASE = """    OptimizerCase(
        "AdaMax",
        lambda: nn.AdaMax(0.01),
        _adamax,
        lambda t, p: t.optim.Adamax(p, 0.01, eps=1e-7),
    ),
"""


@pytest.fixture
def package(tmp_path):
    """A copy of the package, its tests and its pages; what is edited in it is noted."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=LEFT)
        else:
            shutil.copy(source, tmp_path / name)
    return Copy(tmp_path)


class Copy:
    def __init__(self, root):
        self.root = root
        self.edited = []

    def write(self, name, text):
        """Write a new file."""
        assert not (self.root / name).exists()
        (self.root / name).write_text(text, encoding="utf-8")
        self.edited.append(name)

    def insert(self, name, *pairs):
        """Put each text before the place that begins with what stands beside it."""
        text = (self.root / name).read_text(encoding="utf-8")
        for place, added in pairs:
            assert text.count(place) >= 1, (name, place)
            text = text.replace(place, added + place, 1)
        (self.root / name).write_text(text, encoding="utf-8")
        self.edited.append(name)

    def python(self, *arguments):
        settings = {"KERAS_BACKEND": "torch", "NNFS_XP_KERNELS": "numpy"}  # compiles nothing
        environment = os.environ | settings | {"PYTHONPATH": str(self.root)}
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        return done.stdout

    def passed(self, *arguments):
        """How many tests passed; none may fail."""
        output = self.python("-m", "pytest", "-q", "--nnfs-backends", "numpy", *arguments)
        return int(re.search(r"(\d+) passed", output)[1])


def places(kind):
    """The files that the page names for a part of the package, as patterns."""
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    part = page.partition(f"### A{'n' if kind[0] in 'aeiou' else ''} {kind} of this package")[2]
    rows = re.findall(r"^\| (`.*?) \|", part.partition("\n## ")[0], flags=re.MULTILINE)
    patterns = []
    for row in rows:
        names = re.findall(r"`([^`]+)`", row)
        folder = f"{names[0].rpartition('/')[0]}/"
        patterns += [names[0], *(folder + each for each in names[1:])]
    assert patterns
    return patterns


def matches(name, patterns):
    return any(re.fullmatch(re.escape(each).replace("…", r"\w+"), name) for each in patterns)


def test_a_layer(package):
    package.write("nnfs_xp/layers/prelu.py", LAYER)
    package.insert(
        "nnfs_xp/layers/__init__.py",
        ("from nnfs_xp.layers.sequential", "from nnfs_xp.layers.prelu import PReLU\n"),
        ('    "Sequential",', '    "PReLU",\n'),
    )
    package.insert("nnfs_xp/kernels/standard/norms.py", ("\n    def layer_norm(", SPECIFICATION))
    package.insert("nnfs_xp/kernels/numpy.py", ("\n    def sgd(", TWIN))
    package.insert(
        "nnfs_xp/interop/onnx/converters.py",
        ("\ndef identity(", ONNX_FUNCTION),
        ("    layers.Sequential: row,", "    layers.PReLU: prelu,\n"),
    )
    package.insert("nnfs_xp/interop/torch/layers.py", ("    alike(layers.ReLU,", TORCH_ROW))
    package.insert("nnfs_xp/interop/keras/layers.py", ("    Row(\n        layers.ReLU,", KERAS_ROW))
    package.insert(
        "tests/cases.py", ("LAYERS = [", BUILD), ('    LayerCase("Sequential", _sequential', CASE)
    )
    package.insert("docs/backpropagation.md", ("## Dropout", SECTION))
    package.insert("CHANGELOG.md", ("- `fuse=False`", "- The layer `PReLU`.\n"))
    patterns = places("layer")
    assert all(matches(name, patterns) for name in package.edited), package.edited
    assert len(package.edited) <= 12

    files = ["torch_interop", "keras_interop", "onnx"]
    files = ["tests/test_contract.py", *(f"tests/ecosystem/test_{each}.py" for each in files)]
    wanted = {  # how many of each there are
        "TestLayers and PReLU": 3 * 4 + 3 * 2,
        "every_public_class": 4,
        "goes_to_keras_and_back and PReLU": 2,
        "gives_what_the_library_gives and PReLU": 2 * 3,
        "has_a_row or has_all_parameters": 4,
        "converter_and_a_case": 1,
        "backpropagation": 1,
    }
    chosen = " or ".join(f"({each})" for each in wanted)
    found = package.passed(*files, "docs/backpropagation.md", "-k", chosen)
    assert found == sum(wanted.values())
    assert package.python("-c", THERE_AND_BACK).split() == ["True", "True"]
    says = "import nnfs_xp as nn; print('PReLU' in nn.__all__, nn.PReLU(3, trainable=False))"
    assert package.python("-c", says).strip() == "True PReLU(3, trainable=False)"


def test_an_optimizer(package):
    package.write("nnfs_xp/optimizers/adamax.py", OPTIMIZER)
    package.insert(
        "nnfs_xp/optimizers/__init__.py",
        ("from nnfs_xp.optimizers.base", "from nnfs_xp.optimizers.adamax import AdaMax\n"),
        ('"Adagrad", ', '"AdaMax", '),
    )
    package.insert("nnfs_xp/kernels/standard/updates.py", ("\n    def lion(", FORMULA))
    package.insert(
        "tests/cases.py",
        ("def _clipped_value(", STEP),
        ('    OptimizerCase("Lion"', OPTIMIZER_CASE),
    )
    package.insert("CHANGELOG.md", ("- `fuse=False`", "- The optimizer `AdaMax`.\n"))
    patterns = places("optimizer")
    assert all(matches(name, patterns) for name in package.edited), package.edited
    assert len(package.edited) <= 5
    chosen = "AdaMax or every_public_class"
    assert package.passed("tests/test_contract.py", "-k", chosen) >= 2 * 4 + 4
    assert "AdaMax" in package.python("-c", "import nnfs_xp as nn; print(nn.AdaMax(0.1))")
