"""One row for each public layer, loss, optimizer and metric: what the contract is run over.

The references are written in float64 NumPy, sample by sample where that is plainer, from the
formulas in the sources and not from the library's code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from loops import convolved, transposed

import nnfs_xp as nn

rng = np.random.default_rng(12345)

# Away from 0, where ReLU and absolute values have their kinks.
INPUTS = rng.uniform(0.1, 2.0, (5, 4)) * rng.choice([-1.0, 1.0], (5, 4))
WEIGHTS = rng.normal(size=(4, 3))
BIASES = rng.normal(size=(1, 3))


def _softmax(z: np.ndarray) -> np.ndarray:
    rows = []
    for row in z:
        powers = [math.exp(value) for value in row]
        rows.append([power / sum(powers) for power in powers])
    return np.array(rows)


@dataclass
class LayerCase:
    """A layer, how to build it, and what it should answer to its inputs."""

    name: str
    build: Callable[[str], nn.Layer]
    reference: Callable[[np.ndarray], np.ndarray]
    torch: Callable[[Any], Any] | None = None
    inputs: np.ndarray = field(default_factory=lambda: INPUTS, repr=False)
    of_rows: bool = True
    """Whether the layer works on the last axis, so that all axes before it are batch."""
    of_any_shape: bool = True
    """Whether more axes may stand before those of a sample. It refuses them otherwise."""
    has_kinks: bool = False
    """Whether there is no gradient where numbers of a sample are equal."""

    def samples(self, axes: tuple[int, ...]) -> np.ndarray:
        """The inputs with more axes before their own: see `shaped`."""
        inputs = shaped(self.inputs, axes)
        if self.has_kinks:
            inputs = inputs + np.linspace(0.0, 0.5, inputs.size).reshape(inputs.shape)
        return inputs


SAMPLES = {"rows": (), "sequences": (2,), "grids": (1, 2)}
"""The axes that stand before those of a case's arrays: a sample has one, two or three."""


def shaped(array: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The array with more axes before its own: of each two the second is the first backwards."""
    for n in reversed(axes):
        array = np.stack([array[::-1] if each % 2 else array for each in range(n)])
    return array


def _dense(dtype: str, **keywords: float) -> nn.Dense:
    layer = nn.Dense(4, 3, seed=0, dtype=dtype, **keywords)
    layer.weights, layer.biases = WEIGHTS, BIASES
    return layer


def _sequential(dtype: str) -> nn.Sequential:
    return nn.Sequential(_dense(dtype), nn.Tanh(), nn.Softmax())


def _gelu(x: float) -> float:
    return x * (1 + math.erf(x / math.sqrt(2))) / 2


def _gelu_tanh(x: float) -> float:
    return x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


GAMMA = rng.uniform(0.5, 2.0, (1, 4))
BETA = rng.normal(size=(1, 4))
_RUNNING_MEAN = rng.normal(size=(1, 4))
_RUNNING_VARIANCE = rng.uniform(0.5, 2.0, (1, 4))


def _batch_norm(dtype: str) -> nn.BatchNorm:
    layer = nn.BatchNorm(4, momentum=0.7, epsilon=1e-3, dtype=dtype)
    layer.gamma, layer.beta = GAMMA, BETA
    layer.running_mean, layer.running_variance = _RUNNING_MEAN, _RUNNING_VARIANCE
    return layer


def _layer_norm(dtype: str) -> nn.LayerNorm:
    layer = nn.LayerNorm(4, epsilon=1e-3, dtype=dtype)
    layer.gamma, layer.beta = GAMMA, BETA
    return layer


def _normalized(x: np.ndarray) -> np.ndarray:
    rows = []
    for row in x:
        mean = sum(row) / len(row)
        variance = sum((value - mean) ** 2 for value in row) / len(row)
        rows.append([(value - mean) / math.sqrt(variance + 1e-3) for value in row])
    return np.array(rows)


def _torch_norm(torch: Any, kind: str) -> Any:
    module = getattr(torch.nn, kind)(4, eps=1e-3, dtype=torch.float64)
    module.load_state_dict(
        {"weight": torch.tensor(GAMMA[0]), "bias": torch.tensor(BETA[0])}, strict=False
    )
    return module


CODES = np.array([[0.0, 2.0], [1.0, 1.0], [4.0, 0.0]])
TABLE = rng.normal(size=(5, 3))


def _embedding(dtype: str) -> nn.Embedding:
    layer = nn.Embedding(5, 3, dtype=dtype, seed=0)
    layer.weights = TABLE
    return layer


def _torch_embedding(torch: Any) -> Any:
    table = torch.nn.Embedding.from_pretrained(torch.tensor(TABLE))
    return lambda x: table.to(x.dtype)(x.long()) + 0 * x[..., None]


FACTORS = rng.uniform(0.5, 2.0, (1, 4)) * rng.choice([-1.0, 1.0], (1, 4))
MEMBERS = rng.normal(size=(5, 3, 4))
"""Five samples, each for three members that see four features."""
MEMBER_FACTORS = rng.normal(size=(3, 4))
MEMBER_WEIGHTS = rng.normal(size=(3, 4, 2))
MEMBER_BIASES = rng.normal(size=(3, 2))


def _scale(dtype: str, shape: Any, factors: np.ndarray, **options: float) -> nn.Scale:
    layer = nn.Scale(shape, dtype=dtype, **options)
    layer.scale = factors
    return layer


def _member_dense(dtype: str, **options: float) -> nn.MemberDense:
    layer = nn.MemberDense(3, 4, 2, seed=0, dtype=dtype, **options)
    layer.weights, layer.biases = MEMBER_WEIGHTS, MEMBER_BIASES
    return layer


def _member_products(x: np.ndarray) -> np.ndarray:
    samples = x.reshape(-1, 3, 4)
    members = [
        [row @ MEMBER_WEIGHTS[k] + MEMBER_BIASES[k] for k, row in enumerate(sample)]
        for sample in samples
    ]
    return np.array(members).reshape(*x.shape[:-1], 2)


def _torch_member_dense(torch: Any) -> Any:
    weights, biases = torch.tensor(MEMBER_WEIGHTS), torch.tensor(MEMBER_BIASES)
    return lambda x: torch.einsum("...ki,kio->...ko", x, weights.to(x.dtype)) + biases.to(x.dtype)


FREQUENCIES = rng.normal(size=(4, 5)) / 5
PHASES = rng.uniform(-math.pi, math.pi, (4, 5))
WAVES = rng.normal(size=(4, 5, 2))
WAVE_BIASES = rng.normal(size=(4, 2))


def _periodic(dtype: str, **options: float) -> nn.PeriodicEmbedding:
    layer = nn.PeriodicEmbedding(4, 5, 3, seed=0, dtype=dtype, **options)
    layer.frequencies, layer.phases = FREQUENCIES, PHASES
    layer.weights, layer.biases = WAVES, WAVE_BIASES
    return layer


def _waves(x: np.ndarray) -> np.ndarray:
    rows = []
    for row in x:
        numbers: list[float] = []
        for i, value in enumerate(row):
            cosines = [
                math.cos(2 * math.pi * w * value + b)
                for w, b in zip(FREQUENCIES[i], PHASES[i], strict=True)
            ]
            numbers += [float(np.dot(cosines, WAVES[i, :, j])) + WAVE_BIASES[i, j] for j in (0, 1)]
            numbers.append(value)
        rows.append(numbers)
    return np.array(rows)


def _torch_periodic(torch: Any) -> Any:
    def embed(x: Any) -> Any:
        given = (FREQUENCIES, PHASES, WAVES, WAVE_BIASES)
        w, b, weights, biases = (torch.tensor(each).to(x.dtype) for each in given)
        cosines = torch.cos(2 * math.pi * x[..., None] * w + b)
        learnt = torch.einsum("bfk,fkj->bfj", cosines, weights) + biases
        return torch.cat([learnt, x[..., None]], dim=-1).flatten(1)

    return embed


def _mish(x: float) -> float:
    return x * math.tanh(math.log1p(math.exp(x)))


SHARES = np.array([[1.0, 0.0, 0.4, -1.5]])


def _of_columns(x: Any) -> Any:
    return x[:, 1:3]


def _parametric(dtype: str, **options: float) -> nn.ParametricActivation:
    layer = nn.ParametricActivation(nn.Mish(), 4, dtype=dtype, **options)
    layer.alpha = SHARES
    return layer


def _torch_parametric(torch: Any) -> Any:
    shares = torch.tensor(SHARES)
    mish = torch.nn.Mish()
    return lambda x: x * (1 - shares.to(x.dtype)) + mish(x) * shares.to(x.dtype)


_PICTURES = np.random.default_rng(20)  # of their own, so that the numbers below stay
PICTURES = _PICTURES.normal(size=(5, 5, 6, 4))
"""Five pictures of four channels."""
SEQUENCES = _PICTURES.normal(size=(5, 9, 4))
FILTERS = _PICTURES.normal(size=(3, 2, 4, 3))
GROUPED_FILTERS = _PICTURES.normal(size=(3, 2, 2, 6))
DEPTH_FILTERS = _PICTURES.normal(size=(3, 2, 1, 8))
PIXEL_FILTERS = _PICTURES.normal(size=(1, 1, 8, 3))
BACK_FILTERS = _PICTURES.normal(size=(3, 2, 3, 4))
GROUPED_BACK_FILTERS = _PICTURES.normal(size=(3, 2, 1, 4))
FILTER_BIASES = _PICTURES.normal(size=(1, 8))


def _filled(layer: Any, weights: np.ndarray) -> Any:
    """A layer with these filters, for sequences the first row of them, and the first biases."""
    layer.weights = weights if layer.n_axes == 2 else weights[0]
    if layer.use_bias:
        layer.biases = FILTER_BIASES[:, : layer.n_filters]
    return layer


def _separable(dtype: str) -> nn.SeparableConv2D:
    layer = nn.SeparableConv2D(4, 3, (3, 2), multiplier=2, padding="same", seed=0, dtype=dtype)
    layer.layers[0].weights, layer.layers[1].weights = DEPTH_FILTERS, PIXEL_FILTERS
    layer.layers[1].biases = FILTER_BIASES[:, :3]
    return layer


def _of_sequences(passes: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """A function of pictures, for sequences."""
    return lambda x, weights, *rest: passes(x[:, None], weights[:1], *rest)[:, 0]


def _torch_convolved(
    weights: np.ndarray, n_biases: int, *, sides: tuple[int, ...] = (0, 0, 0, 0), **settings: Any
) -> Callable[[Any], Any]:
    """PyTorch's, for pictures or sequences with channels last, zeros around them."""

    def build(t: Any) -> Any:
        def convolve(x: Any) -> Any:
            functional, pictures = t.nn.functional, x.ndim == 4
            w = t.tensor(weights if pictures else weights[0]).to(x.dtype)
            w = w.permute(3, 2, 0, 1) if pictures else w.permute(2, 1, 0)
            b = t.tensor(FILTER_BIASES[0, :n_biases]).to(x.dtype) if n_biases else None
            x = functional.pad(x.movedim(-1, 1), sides if pictures else sides[:2])
            run = functional.conv2d if pictures else functional.conv1d
            return run(x, w, b, **settings).movedim(1, -1)

        return convolve

    return build


def _torch_separable(t: Any) -> Any:
    depthwise = _torch_convolved(DEPTH_FILTERS, 0, sides=(0, 1, 1, 1), groups=4)(t)
    pointwise = _torch_convolved(PIXEL_FILTERS, 3)(t)
    return lambda x: pointwise(depthwise(x))


def _torch_transposed(weights: np.ndarray, n_biases: int, **settings: Any) -> Callable[[Any], Any]:
    def build(t: Any) -> Any:
        def transpose(x: Any) -> Any:
            functional, pictures = t.nn.functional, x.ndim == 4
            w = t.tensor(weights if pictures else weights[0]).to(x.dtype)
            w = w.permute(3, 2, 0, 1) if pictures else w.permute(2, 1, 0)
            b = t.tensor(FILTER_BIASES[0, :n_biases]).to(x.dtype)
            run = functional.conv_transpose2d if pictures else functional.conv_transpose1d
            return run(x.movedim(-1, 1), w, b, **settings).movedim(1, -1)

        return transpose

    return build


SMALL = np.ascontiguousarray(PICTURES[:3, :4, :5, :2])
STEPS = np.ascontiguousarray(SEQUENCES[:3, :7, :2])
CHANNEL_FACTORS = np.array([[0.5, -1.5, 2.0, 1.0]])
CHANNEL_SHIFTS = np.array([[0.3, -0.2, 0.0, 1.5]])


def _pooled(
    x: np.ndarray,
    size: tuple[int, int],
    strides: tuple[int, int],
    sides: Any = ((0, 0), (0, 0)),
    of: Callable[..., Any] = np.nanmax,
    around: float = math.nan,
) -> np.ndarray:
    """Each window by itself, with this around the pictures."""
    x = np.pad(x, ((0, 0), *sides, (0, 0)), constant_values=around)
    rows = range(0, x.shape[1] - size[0] + 1, strides[0])
    columns = range(0, x.shape[2] - size[1] + 1, strides[1])
    return np.array(
        [
            [
                [of(each[y : y + size[0], z : z + size[1]], axis=(0, 1)) for z in columns]
                for y in rows
            ]
            for each in x
        ]
    )


def _torch_max_pool(
    size: Any, strides: Any, sides: tuple[int, ...] = (0, 0, 0, 0)
) -> Callable[[Any], Any]:
    def build(t: Any) -> Any:
        def pool(x: Any) -> Any:
            functional = t.nn.functional
            run = functional.max_pool2d if x.ndim == 4 else functional.max_pool1d
            around = functional.pad(x.movedim(-1, 1), sides, value=-math.inf)
            return run(around, size, strides).movedim(1, -1)

        return pool

    return build


def _torch_average_pool(
    size: Any, strides: Any, sides: tuple[int, ...] = (0, 0, 0, 0), counts_padding: bool = False
) -> Callable[[Any], Any]:
    def build(t: Any) -> Any:
        def pool(x: Any) -> Any:
            functional = t.nn.functional
            run = functional.avg_pool2d if x.ndim == 4 else functional.avg_pool1d
            x = x.movedim(-1, 1)
            means = run(functional.pad(x, sides), size, strides)
            if not counts_padding:
                means = means / run(functional.pad(t.ones_like(x), sides), size, strides)
            return means.movedim(1, -1)

        return pool

    return build


def _group_norm(dtype: str, n_groups: int, **options: Any) -> nn.GroupNorm:
    layer = nn.GroupNorm(4, n_groups, epsilon=1e-3, dtype=dtype, **options)
    if layer.scale:
        layer.gamma = CHANNEL_FACTORS
    if layer.center:
        layer.beta = CHANNEL_SHIFTS
    return layer


def _group_normalized(x: np.ndarray, n_groups: int) -> np.ndarray:
    """Each group of each sample by itself."""
    output = np.empty_like(x)
    each = x.shape[-1] // n_groups
    for sample, result in zip(x, output, strict=True):
        for g in range(n_groups):
            group = sample[..., g * each : (g + 1) * each]
            distance = math.sqrt(((group - group.mean()) ** 2).mean() + 1e-3)
            result[..., g * each : (g + 1) * each] = (group - group.mean()) / distance
    return output


def _torch_group_norm(n_groups: int, *, scale: bool = True, center: bool = True) -> Any:
    def build(t: Any) -> Any:
        factors, shifts = t.tensor(CHANNEL_FACTORS[0]), t.tensor(CHANNEL_SHIFTS[0])

        def norm(x: Any) -> Any:
            gamma = factors.to(x.dtype) if scale else None
            beta = shifts.to(x.dtype) if center else None
            run = t.nn.functional.group_norm
            return run(x.movedim(-1, 1), n_groups, gamma, beta, 1e-3).movedim(1, -1)

        return norm

    return build


def _half_batch_norm(dtype: str, *, center: bool) -> nn.BatchNorm:
    layer = nn.BatchNorm(4, momentum=0.7, epsilon=1e-3, scale=False, center=center, dtype=dtype)
    if center:
        layer.beta = BETA
    layer.running_mean, layer.running_variance = _RUNNING_MEAN, _RUNNING_VARIANCE
    return layer


def _torch_half_batch_norm(t: Any, *, center: bool) -> Any:
    shifts = t.tensor(BETA[0]) if center else None
    return lambda x: t.nn.functional.batch_norm(
        x, None, None, None, None if shifts is None else shifts.to(x.dtype), True, 0.3, 1e-3
    )


def _square(seed: int, dtype: str) -> nn.Dense:
    layer = nn.Dense(4, 4, dtype=dtype, weight_regularizer_l2=0.1)
    layer.weights = np.random.default_rng(seed).normal(size=(4, 4))
    return layer


def _squared(seed: int, x: np.ndarray) -> np.ndarray:
    return x @ np.random.default_rng(seed).normal(size=(4, 4))


LAYERS = [
    LayerCase("Dense", _dense, lambda x: x @ WEIGHTS + BIASES),
    LayerCase(
        "Dense",
        lambda dtype: _dense(
            dtype,
            weight_regularizer_l1=0.03,
            weight_regularizer_l2=0.02,
            bias_regularizer_l1=0.05,
            bias_regularizer_l2=0.04,
        ),
        lambda x: x @ WEIGHTS + BIASES,
    ),
    LayerCase("ReLU", lambda _: nn.ReLU(), lambda x: x * (x > 0), lambda t: t.nn.ReLU()),
    LayerCase(
        "LeakyReLU",
        lambda _: nn.LeakyReLU(0.2),
        lambda x: np.where(x > 0, x, 0.2 * x),
        lambda t: t.nn.LeakyReLU(0.2),
    ),
    LayerCase(
        "Sigmoid",
        lambda _: nn.Sigmoid(),
        np.vectorize(lambda x: 1 / (1 + math.exp(-x))),
        lambda t: t.nn.Sigmoid(),
    ),
    LayerCase("Tanh", lambda _: nn.Tanh(), np.vectorize(math.tanh), lambda t: t.nn.Tanh()),
    LayerCase("Softmax", lambda _: nn.Softmax(), _softmax, lambda t: t.nn.Softmax(dim=1)),
    LayerCase("Linear", lambda _: nn.Linear(), lambda x: x, lambda t: t.nn.Identity()),
    LayerCase("GELU", lambda _: nn.GELU(), np.vectorize(_gelu), lambda t: t.nn.GELU()),
    LayerCase(
        "GELU",
        lambda _: nn.GELU("tanh"),
        np.vectorize(_gelu_tanh),
        lambda t: t.nn.GELU(approximate="tanh"),
    ),
    LayerCase(
        "SiLU",
        lambda _: nn.SiLU(),
        np.vectorize(lambda x: x / (1 + math.exp(-x))),
        lambda t: t.nn.SiLU(),
    ),
    LayerCase("Mish", lambda _: nn.Mish(), np.vectorize(_mish), lambda t: t.nn.Mish()),
    LayerCase(
        "ELU",
        lambda _: nn.ELU(),
        np.vectorize(lambda x: x if x > 0 else math.exp(x) - 1),
        lambda t: t.nn.ELU(),
    ),
    LayerCase(
        "ELU",
        lambda _: nn.ELU(0.3),
        np.vectorize(lambda x: x if x > 0 else 0.3 * (math.exp(x) - 1)),
        lambda t: t.nn.ELU(0.3),
    ),
    LayerCase(
        "SELU",
        lambda _: nn.SELU(),
        np.vectorize(
            lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * (math.exp(x) - 1))
        ),
        lambda t: t.nn.SELU(),
    ),
    LayerCase(
        "Softplus",
        lambda _: nn.Softplus(),
        np.vectorize(lambda x: math.log(1 + math.exp(x))),
        lambda t: t.nn.Softplus(),
    ),
    LayerCase(
        "BatchNorm",
        _batch_norm,
        lambda x: GAMMA * (x - _RUNNING_MEAN) / np.sqrt(_RUNNING_VARIANCE + 1e-3) + BETA,
        lambda t: _torch_norm(t, "BatchNorm1d"),
    ),
    LayerCase(
        "BatchNorm",
        lambda dtype: _half_batch_norm(dtype, center=True),
        lambda x: (x - _RUNNING_MEAN) / np.sqrt(_RUNNING_VARIANCE + 1e-3) + BETA,
        lambda t: _torch_half_batch_norm(t, center=True),
    ),
    LayerCase(
        "BatchNorm",
        lambda dtype: _half_batch_norm(dtype, center=False),
        lambda x: (x - _RUNNING_MEAN) / np.sqrt(_RUNNING_VARIANCE + 1e-3),
        lambda t: _torch_half_batch_norm(t, center=False),
    ),
    LayerCase(
        "LayerNorm",
        lambda dtype: nn.LayerNorm(4, epsilon=1e-3, scale=False, center=False, dtype=dtype),
        _normalized,
        lambda t: t.nn.LayerNorm(4, eps=1e-3, elementwise_affine=False),
    ),
    LayerCase(
        "LayerNorm",
        _layer_norm,
        lambda x: GAMMA * _normalized(x) + BETA,
        lambda t: _torch_norm(t, "LayerNorm"),
    ),
    LayerCase(
        "Scale",
        lambda dtype: _scale(dtype, 4, FACTORS),
        lambda x: np.array([[a * b for a, b in zip(row, FACTORS[0], strict=True)] for row in x]),
        lambda t: lambda x: x * t.tensor(FACTORS).to(x.dtype),
    ),
    LayerCase(
        "Scale",
        lambda dtype: _scale(
            dtype, (3, 4), MEMBER_FACTORS, scale_regularizer_l1=0.03, scale_regularizer_l2=0.02
        ),
        lambda x: np.einsum("...ki,ki->...ki", x, MEMBER_FACTORS),
        lambda t: lambda x: x * t.tensor(MEMBER_FACTORS).to(x.dtype),
        inputs=MEMBERS,
        of_rows=False,
    ),
    LayerCase(
        "ParametricActivation",
        _parametric,
        lambda x: (1 - SHARES) * x + SHARES * np.vectorize(_mish)(x),
        _torch_parametric,
    ),
    LayerCase(
        "ParametricActivation",
        lambda dtype: _parametric(dtype, alpha_regularizer_l1=0.03, alpha_regularizer_l2=0.02),
        lambda x: (1 - SHARES) * x + SHARES * np.vectorize(_mish)(x),
        _torch_parametric,
    ),
    LayerCase("PeriodicEmbedding", _periodic, _waves, _torch_periodic),
    LayerCase(
        "PeriodicEmbedding",
        lambda dtype: _periodic(
            dtype,
            frequencies_regularizer_l2=0.03,
            phases_regularizer_l1=0.02,
            weight_regularizer_l2=0.04,
            bias_regularizer_l1=0.05,
        ),
        _waves,
        _torch_periodic,
    ),
    LayerCase("Columns", lambda _: nn.Columns(1, 3), lambda x: x[:, [1, 2]], lambda t: _of_columns),
    LayerCase(
        "Repeat",
        lambda _: nn.Repeat(3),
        lambda x: np.stack([x, x, x], axis=-2),
        lambda t: lambda x: t.stack([x, x, x], dim=-2),
        of_rows=False,
    ),
    LayerCase(
        "MemberDense",
        _member_dense,
        _member_products,
        _torch_member_dense,
        inputs=MEMBERS,
        of_rows=False,
    ),
    LayerCase(
        "MemberDense",
        lambda dtype: _member_dense(dtype, weight_regularizer_l2=0.02, bias_regularizer_l1=0.05),
        _member_products,
        _torch_member_dense,
        inputs=MEMBERS,
        of_rows=False,
    ),
    LayerCase(
        "Conv2D",
        lambda dtype: _filled(nn.Conv2D(4, 3, (3, 2), dtype=dtype), FILTERS),
        lambda x: convolved(x, FILTERS, FILTER_BIASES[:, :3]),
        _torch_convolved(FILTERS, 3),
        inputs=PICTURES,
        of_rows=False,
        of_any_shape=False,
    ),
    LayerCase(
        "Conv2D",
        lambda dtype: _filled(
            nn.Conv2D(
                *(4, 6, (3, 2)),
                strides=(2, 1),
                padding="same",
                dilation=(1, 2),
                groups=2,
                dtype=dtype,
                weight_regularizer_l2=0.02,
                bias_regularizer_l1=0.05,
            ),
            GROUPED_FILTERS,
        ),
        lambda x: convolved(x, GROUPED_FILTERS, FILTER_BIASES[:, :6], (2, 1), "same", (1, 2)),
        _torch_convolved(
            *(GROUPED_FILTERS, 6), sides=(1, 1, 1, 1), stride=(2, 1), dilation=(1, 2), groups=2
        ),
        inputs=PICTURES,
        of_rows=False,
        of_any_shape=False,
    ),
    LayerCase(
        "Conv1D",
        lambda dtype: _filled(nn.Conv1D(4, 3, 2, strides=2, padding=(1, 2), dtype=dtype), FILTERS),
        lambda x: _of_sequences(convolved)(
            x, FILTERS, FILTER_BIASES[:, :3], (1, 2), ((0, 0), (1, 2))
        ),
        _torch_convolved(FILTERS, 3, sides=(1, 2), stride=2),
        inputs=SEQUENCES,
        of_rows=False,
        of_any_shape=False,
    ),
    LayerCase(
        "DepthwiseConv2D",
        lambda dtype: _filled(
            nn.DepthwiseConv2D(4, (3, 2), multiplier=2, strides=2, dtype=dtype), DEPTH_FILTERS
        ),
        lambda x: convolved(x, DEPTH_FILTERS, FILTER_BIASES, (2, 2)),
        _torch_convolved(DEPTH_FILTERS, 8, stride=2, groups=4),
        inputs=PICTURES,
        of_rows=False,
        of_any_shape=False,
    ),
    LayerCase(
        "SeparableConv2D",
        _separable,
        lambda x: convolved(
            convolved(x, DEPTH_FILTERS, 0.0, padding="same"), PIXEL_FILTERS, FILTER_BIASES[:, :3]
        ),
        _torch_separable,
        inputs=PICTURES,
        of_rows=False,
        of_any_shape=False,
    ),
    LayerCase(
        "Conv2DTranspose",
        lambda dtype: _filled(
            nn.Conv2DTranspose(4, 3, (3, 2), strides=2, output_padding=1, dtype=dtype),
            BACK_FILTERS,
        ),
        lambda x: transposed(x, BACK_FILTERS, FILTER_BIASES[:, :3], (2, 2), more=(1, 1)),
        _torch_transposed(BACK_FILTERS, 3, stride=2, output_padding=1),
        inputs=PICTURES,
        of_rows=False,
        of_any_shape=False,
    ),
    LayerCase(
        "Conv2DTranspose",
        lambda dtype: _filled(
            nn.Conv2DTranspose(
                *(4, 2, (3, 2)),
                padding=((1, 1), (0, 0)),
                groups=2,
                dtype=dtype,
                weight_regularizer_l1=0.03,
                bias_regularizer_l2=0.04,
            ),
            GROUPED_BACK_FILTERS,
        ),
        lambda x: transposed(
            x, GROUPED_BACK_FILTERS, FILTER_BIASES[:, :2], padding=((1, 1), (0, 0))
        ),
        _torch_transposed(GROUPED_BACK_FILTERS, 2, padding=(1, 0), groups=2),
        inputs=PICTURES,
        of_rows=False,
        of_any_shape=False,
    ),
    LayerCase(
        "Conv1DTranspose",
        lambda dtype: _filled(nn.Conv1DTranspose(4, 3, 2, strides=2, dtype=dtype), BACK_FILTERS),
        lambda x: _of_sequences(transposed)(x, BACK_FILTERS, FILTER_BIASES[:, :3], (1, 2)),
        _torch_transposed(BACK_FILTERS, 3, stride=2),
        inputs=SEQUENCES,
        of_rows=False,
        of_any_shape=False,
    ),
    LayerCase(
        "MaxPool2D",
        lambda _: nn.MaxPool2D(2),
        lambda x: _pooled(x, (2, 2), (2, 2)),
        _torch_max_pool(2, 2),
        inputs=SMALL,
        of_rows=False,
        of_any_shape=False,
    ),
    LayerCase(
        "MaxPool2D",
        lambda _: nn.MaxPool2D(3, strides=(2, 1), padding="same"),
        lambda x: _pooled(x, (3, 3), (2, 1), ((0, 1), (1, 1))),
        _torch_max_pool(3, (2, 1), (1, 1, 0, 1)),
        inputs=SMALL,
        of_rows=False,
        of_any_shape=False,
    ),
    LayerCase(
        "MaxPool1D",
        lambda _: nn.MaxPool1D(3, strides=2, padding=(2, 0)),
        lambda x: _pooled(x[:, None], (1, 3), (1, 2), ((0, 0), (2, 0)))[:, 0],
        _torch_max_pool(3, 2, (2, 0)),
        inputs=STEPS,
        of_rows=False,
        of_any_shape=False,
    ),
    LayerCase(
        "AveragePool2D",
        lambda _: nn.AveragePool2D(2),
        lambda x: _pooled(x, (2, 2), (2, 2), of=np.nanmean),
        _torch_average_pool(2, 2),
        inputs=SMALL,
        of_rows=False,
        of_any_shape=False,
    ),
    LayerCase(
        "AveragePool2D",
        lambda _: nn.AveragePool2D(3, strides=(1, 2), padding="same"),
        lambda x: _pooled(x, (3, 3), (1, 2), ((1, 1), (1, 1)), np.nanmean),
        _torch_average_pool(3, (1, 2), (1, 1, 1, 1)),
        inputs=SMALL,
        of_rows=False,
        of_any_shape=False,
    ),
    LayerCase(
        "AveragePool2D",
        lambda _: nn.AveragePool2D((2, 3), padding=((1, 0), (2, 1)), counts_padding=True),
        lambda x: _pooled(x, (2, 3), (2, 3), ((1, 0), (2, 1)), np.mean, 0.0),
        _torch_average_pool((2, 3), (2, 3), (2, 1, 1, 0), counts_padding=True),
        inputs=SMALL,
        of_rows=False,
        of_any_shape=False,
    ),
    LayerCase(
        "AveragePool1D",
        lambda _: nn.AveragePool1D(2, padding=(1, 1)),
        lambda x: _pooled(x[:, None], (1, 2), (1, 2), ((0, 0), (1, 1)), np.nanmean)[:, 0],
        _torch_average_pool(2, 2, (1, 1)),
        inputs=STEPS,
        of_rows=False,
        of_any_shape=False,
    ),
    LayerCase(
        "GlobalAveragePool",
        lambda _: nn.GlobalAveragePool(),
        lambda x: np.array([[each[..., c].mean() for c in (0, 1)] for each in x]),
        lambda t: lambda x: x.flatten(1, -2).mean(1),
        inputs=SMALL,
        of_rows=False,
    ),
    LayerCase(
        "GlobalMaxPool",
        lambda _: nn.GlobalMaxPool(),
        lambda x: np.array([[each[..., c].max() for c in (0, 1)] for each in x]),
        lambda t: lambda x: x.flatten(1, -2).amax(1),
        inputs=STEPS,
        of_rows=False,
        has_kinks=True,
    ),
    LayerCase(
        "Upsample2D",
        lambda _: nn.Upsample2D((2, 3)),
        lambda x: x[:, np.arange(8) // 2][:, :, np.arange(9) // 3],
        lambda t: lambda x: x.repeat_interleave(2, 1).repeat_interleave(3, 2),
        inputs=np.ascontiguousarray(SMALL[:, :, :3]),
        of_rows=False,
        of_any_shape=False,
    ),
    LayerCase(
        "ZeroPad2D",
        lambda _: nn.ZeroPad2D(((1, 0), (2, 1))),
        lambda x: np.pad(x, ((0, 0), (1, 0), (2, 1), (0, 0))),
        lambda t: lambda x: t.nn.functional.pad(x, (0, 0, 2, 1, 1, 0)),
        inputs=SMALL,
        of_rows=False,
        of_any_shape=False,
    ),
    LayerCase(
        "Reshape",
        lambda _: nn.Reshape((-1, 4)),
        lambda x: np.array([list(sample.flat) for sample in x]).reshape(len(x), -1, 4),
        lambda t: lambda x: x.reshape(x.shape[0], -1, 4),
        inputs=SMALL,
        of_rows=False,
    ),
    LayerCase(
        "GroupNorm",
        lambda dtype: _group_norm(dtype, 2),
        lambda x: CHANNEL_FACTORS * _group_normalized(x, 2) + CHANNEL_SHIFTS,
        _torch_group_norm(2),
        inputs=np.ascontiguousarray(PICTURES[:3, :3, :2]),
        of_rows=False,
    ),
    LayerCase(
        "GroupNorm",
        lambda dtype: _group_norm(dtype, 4, scale=False, beta_regularizer_l2=0.1),
        lambda x: _group_normalized(x, 4) + CHANNEL_SHIFTS,
        _torch_group_norm(4, scale=False),
        inputs=np.ascontiguousarray(SEQUENCES[:3]),
        of_rows=False,
    ),
    LayerCase("Dropout", lambda _: nn.Dropout(0.4, seed=3), lambda x: x),
    LayerCase("AlphaDropout", lambda _: nn.AlphaDropout(0.4, seed=3), lambda x: x),
    LayerCase("GaussianNoise", lambda _: nn.GaussianNoise(0.5, seed=3), lambda x: x),
    LayerCase(
        "Flatten",
        lambda _: nn.Flatten(),
        lambda x: np.array([list(sample.flat) for sample in x]),
        lambda t: t.nn.Flatten(),
        of_rows=False,
    ),
    LayerCase(
        "Flatten",
        lambda _: nn.Flatten(),
        lambda x: np.array([list(sample.flat) for sample in x]),
        lambda t: t.nn.Flatten(),
        inputs=rng.normal(size=(2, 3, 2)),
        of_rows=False,
    ),
    LayerCase(
        "Embedding",
        _embedding,
        lambda x: np.array([TABLE[int(code)] for code in x.flat]).reshape(*x.shape, 3),
        _torch_embedding,
        inputs=CODES,
        of_rows=False,
    ),
    LayerCase(
        "Residual",
        lambda dtype: nn.Residual(_square(1, dtype), nn.Tanh(), _square(2, dtype)),
        lambda x: x + _squared(2, np.tanh(_squared(1, x))),
    ),
    LayerCase(
        "Concatenate",
        lambda dtype: nn.Concatenate(nn.Linear(), _dense(dtype), _sequential(dtype)),
        lambda x: np.array(
            [
                [*row, *(row @ WEIGHTS + BIASES)[0], *_softmax(np.tanh(row @ WEIGHTS + BIASES))[0]]
                for row in x
            ]
        ),
    ),
    LayerCase("Sequential", _sequential, lambda x: _softmax(np.tanh(x @ WEIGHTS + BIASES))),
    LayerCase(
        "Sequential",
        lambda dtype: nn.Sequential(_square(3, dtype), nn.ReLU(), _dense(dtype)),
        lambda x: np.maximum(_squared(3, x), 0) @ WEIGHTS + BIASES,
    ),
    LayerCase(
        "Sequential",
        lambda dtype: nn.Sequential(_dense(dtype), nn.ReLU()),
        lambda x: np.maximum(x @ WEIGHTS + BIASES, 0),
    ),
    LayerCase(
        "Block",
        lambda dtype: nn.Block(_dense(dtype), nn.Tanh(), name="Bent"),
        lambda x: np.tanh(x @ WEIGHTS + BIASES),
    ),
]


@dataclass
class LossCase:
    """A loss with predictions and targets, and the losses of the samples.

    `torch` gives PyTorch's mean from its namespace and the two, or is why there is none.
    """

    name: str
    loss: nn.Loss
    y_pred: np.ndarray
    y_true: np.ndarray
    expected: list[float] = field(repr=False)
    torch: Callable[[Any, Any, Any], Any] | str = ""


_P = _softmax(rng.normal(size=(5, 3)))  # probabilities of classes
_Z = rng.normal(size=(5, 3)) * 3  # logits, or values
_LABELS = np.array([0, 2, 1, 1, 0])
_ONE_HOT = np.eye(3)[_LABELS]
_YES = np.array([[0, 1, 1], [1, 0, 0], [1, 1, 1], [0, 0, 0], [1, 0, 1]])
_RATES = np.exp(_Z / 5)  # not so near 0 that central differences lose the curvature there
_COUNTS = np.array([[0, 1, 4], [2, 0, 0], [1, 1, 7], [3, 0, 2], [0, 0, 1]])
_TARGETS = _Z + rng.uniform(0.1, 1.0, (5, 3)) * rng.choice([-1.0, 1.0], (5, 3))


_FAR = _Z + rng.uniform(0.1, 4.0, (5, 3)) * rng.choice([-1.0, 1.0], (5, 3))


def _binary(p: np.ndarray, y: np.ndarray) -> list[float]:
    return [
        -sum(math.log(a if b else 1 - a) for a, b in zip(row, truths, strict=True)) / len(row)
        for row, truths in zip(p, y, strict=True)
    ]


def _smoothed(p: np.ndarray, shares: np.ndarray, smoothing: float) -> list[float]:
    """Cross-entropy in which each class gets its part of what is spread."""
    return [
        -sum(
            ((1 - smoothing) * share + smoothing / len(row)) * math.log(value)
            for value, share in zip(row, truths, strict=True)
        )
        for row, truths in zip(p, shares, strict=True)
    ]


def _huber(d: float, delta: float) -> float:
    return d * d / 2 if abs(d) <= delta else delta * abs(d) - delta * delta / 2


def _mean_of(terms: Callable[[float, float], float], y_pred: Any, y_true: Any) -> list[float]:
    """The mean of a function of predictions and targets over each sample's outputs."""
    return [
        sum(terms(float(a), float(b)) for a, b in zip(row, truths, strict=True)) / len(row)
        for row, truths in zip(y_pred, y_true, strict=True)
    ]


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return math.fsum(a * b) / (math.hypot(*a) * math.hypot(*b))


def _torch_focal(t: Any, z: Any, y: Any, gamma: float, alpha: list[float]) -> Any:
    """As published: a modulating factor on PyTorch's own cross-entropy."""
    losses = t.nn.functional.cross_entropy(z, y, reduction="none")
    weights = t.tensor(alpha, dtype=z.dtype)[y]
    return (weights * (1 - t.exp(-losses)) ** gamma * losses).mean()


def _torch_pinball(t: Any, z: Any, y: Any, quantiles: list[float]) -> Any:
    """By the absolute difference, weighed on either side: PyTorch has no loss of quantiles."""
    d = y.reshape(-1, 1) - z
    q = t.tensor(quantiles, dtype=z.dtype)
    return (t.where(d > 0, q, 1 - q) * t.abs(d)).mean()


_NLL = [-math.log(row[label]) for row, label in zip(_P, _LABELS, strict=True)]
_LOGIT_NLL = [-math.log(row[label]) for row, label in zip(_softmax(_Z), _LABELS, strict=True)]

LOSSES = [
    LossCase(
        "CategoricalCrossentropy",
        nn.CategoricalCrossentropy(),
        _P,
        _LABELS,
        _NLL,
        lambda t, p, y: t.nn.functional.nll_loss(p.log(), y),
    ),
    LossCase(
        "CategoricalCrossentropy",
        nn.CategoricalCrossentropy(),
        _P,
        _ONE_HOT,
        _NLL,
        lambda t, p, y: t.nn.functional.nll_loss(p.log(), y.argmax(1)),
    ),
    LossCase(
        "CategoricalCrossentropy",
        nn.CategoricalCrossentropy(),
        _P,
        _ONE_HOT.astype(int),
        _NLL,
        lambda t, p, y: t.nn.functional.nll_loss(p.log(), y.argmax(1)),
    ),
    LossCase(
        "SoftmaxCategoricalCrossentropy",
        nn.SoftmaxCategoricalCrossentropy(),
        _Z,
        _LABELS,
        _LOGIT_NLL,
        lambda t, z, y: t.nn.functional.cross_entropy(z, y),
    ),
    LossCase(
        "SoftmaxCategoricalCrossentropy",
        nn.SoftmaxCategoricalCrossentropy(),
        _Z,
        _LABELS.astype(np.uint8),
        _LOGIT_NLL,
        lambda t, z, y: t.nn.functional.cross_entropy(z, y.long()),
    ),
    LossCase(
        "SoftmaxCategoricalCrossentropy",
        nn.SoftmaxCategoricalCrossentropy(),
        _Z,
        _ONE_HOT,
        _LOGIT_NLL,
        lambda t, z, y: t.nn.functional.cross_entropy(z, y),
    ),
    LossCase(
        "BinaryCrossentropy",
        nn.BinaryCrossentropy(),
        _P,
        _YES,
        _binary(_P, _YES),
        lambda t, p, y: t.nn.functional.binary_cross_entropy(p, y.to(p.dtype)),
    ),
    LossCase(
        "BinaryCrossentropy",
        nn.BinaryCrossentropy(),
        _P[:, :1],
        _YES[:, 0].astype(bool),
        _binary(_P[:, :1], _YES[:, :1]),
        lambda t, p, y: t.nn.functional.binary_cross_entropy(p[:, 0], y.to(p.dtype)),
    ),
    LossCase(
        "SigmoidBinaryCrossentropy",
        nn.SigmoidBinaryCrossentropy(),
        _Z,
        _YES,
        _binary(1 / (1 + np.exp(-_Z)), _YES),
        lambda t, z, y: t.nn.functional.binary_cross_entropy_with_logits(z, y.to(z.dtype)),
    ),
    LossCase(
        "MeanSquaredError",
        nn.MeanSquaredError(),
        _Z,
        _TARGETS,
        [float(sum(d * d for d in row) / 3) for row in _Z - _TARGETS],
        lambda t, z, y: t.nn.functional.mse_loss(z, y),
    ),
    LossCase(
        "MeanAbsoluteError",
        nn.MeanAbsoluteError(),
        _Z,
        _TARGETS,
        [float(sum(abs(d) for d in row) / 3) for row in _Z - _TARGETS],
        lambda t, z, y: t.nn.functional.l1_loss(z, y),
    ),
    LossCase(
        "CategoricalCrossentropy",
        nn.CategoricalCrossentropy(label_smoothing=0.1),
        _P,
        _LABELS,
        _smoothed(_P, _ONE_HOT, 0.1),
        # PyTorch takes log(p) for logits, and so divides by the sum of p, which is 1.
        lambda t, p, y: (
            t.nn.functional.cross_entropy(t.log(p), y, label_smoothing=0.1)
            - t.log(p.sum(dim=1)).mean()
        ),
    ),
    LossCase(
        "SoftmaxCategoricalCrossentropy",
        nn.SoftmaxCategoricalCrossentropy(label_smoothing=0.3),
        _Z,
        _LABELS,
        _smoothed(_softmax(_Z), _ONE_HOT, 0.3),
        lambda t, z, y: t.nn.functional.cross_entropy(z, y, label_smoothing=0.3),
    ),
    LossCase(
        "SoftmaxCategoricalCrossentropy",
        nn.SoftmaxCategoricalCrossentropy(label_smoothing=0.3),
        _Z,
        _ONE_HOT,
        _smoothed(_softmax(_Z), _ONE_HOT, 0.3),
        lambda t, z, y: t.nn.functional.cross_entropy(z, y, label_smoothing=0.3),
    ),
    LossCase(
        "BinaryCrossentropy",
        nn.BinaryCrossentropy(label_smoothing=0.2),
        _P,
        _YES,
        _mean_of(
            lambda p, y: -math.log(p) * (0.8 * y + 0.1) - math.log(1 - p) * (0.9 - 0.8 * y),
            _P,
            _YES,
        ),
        lambda t, p, y: t.nn.functional.binary_cross_entropy(p, y.to(p.dtype) * 0.8 + 0.1),
    ),
    LossCase(
        "SigmoidBinaryCrossentropy",
        nn.SigmoidBinaryCrossentropy(label_smoothing=0.2),
        _Z,
        _YES,
        _mean_of(lambda z, y: math.log(1 + math.exp(-z)) + (0.9 - 0.8 * y) * z, _Z, _YES),
        lambda t, z, y: t.nn.functional.binary_cross_entropy_with_logits(
            z, y.to(z.dtype) * 0.8 + 0.1
        ),
    ),
    LossCase(
        "Huber",
        nn.Huber(),
        _Z,
        _FAR,
        _mean_of(lambda a, b: _huber(a - b, 1.0), _Z, _FAR),
        lambda t, z, y: t.nn.HuberLoss()(z, y),
    ),
    LossCase(
        "Huber",
        nn.Huber(delta=2.5),
        _Z,
        _FAR,
        _mean_of(lambda a, b: _huber(a - b, 2.5), _Z, _FAR),
        lambda t, z, y: t.nn.HuberLoss(delta=2.5)(z, y),
    ),
    LossCase(
        "PinballLoss",
        nn.PinballLoss((0.1, 0.4, 0.9)),
        _Z,
        _TARGETS[:, :1],
        [
            sum(
                max(q * (y - z), (q - 1) * (y - z))
                for q, z in zip((0.1, 0.4, 0.9), row, strict=True)
            )
            / 3
            for row, y in zip(_Z, _TARGETS[:, 0], strict=True)
        ],
        lambda t, z, y: _torch_pinball(t, z, y, [0.1, 0.4, 0.9]),
    ),
    LossCase(
        "Poisson",
        nn.Poisson(),
        _Z,
        _COUNTS,
        _mean_of(lambda z, y: math.exp(z) - y * z, _Z, _COUNTS),
        lambda t, z, y: t.nn.PoissonNLLLoss()(z, y),
    ),
    LossCase(
        "Poisson",
        nn.Poisson(log_input=False),
        _RATES,
        _COUNTS,
        _mean_of(lambda r, y: r - y * math.log(r), _RATES, _COUNTS),
        lambda t, r, y: t.nn.PoissonNLLLoss(log_input=False, eps=0.0)(r, y),
    ),
    LossCase(
        "CosineLoss",
        nn.CosineLoss(),
        _Z,
        _TARGETS,
        [1 - _cosine(a, b) for a, b in zip(_Z, _TARGETS, strict=True)],
        # CosineEmbeddingLoss adds 1e-12 to the squared lengths; this is the same without it.
        lambda t, z, y: (1 - t.nn.functional.cosine_similarity(z, y)).mean(),
    ),
    LossCase(
        "Hinge",
        nn.Hinge(),
        _Z,
        _YES,
        _mean_of(lambda z, y: max(0.0, 1 - z if y else 1 + z), _Z, _YES),
        lambda t, z, y: t.relu(1 - (2 * y.to(z.dtype) - 1) * z).mean(),
    ),
    LossCase(
        "Hinge",
        nn.Hinge(),
        _Z[:, :1],
        _YES[:, 0].astype(float),
        _mean_of(lambda z, y: max(0.0, 1 - z if y else 1 + z), _Z[:, :1], _YES[:, :1]),
        lambda t, z, y: t.relu(1 - (2 * y - 1) * z[:, 0]).mean(),
    ),
    LossCase(
        "CategoricalHinge",
        nn.CategoricalHinge(),
        _Z,
        _LABELS,
        [
            max(0.0, 1 + max(z for j, z in enumerate(row) if j != label) - row[label])
            for row, label in zip(_Z, _LABELS, strict=True)
        ],
        lambda t, z, y: t.relu(
            1
            + z.masked_fill(t.nn.functional.one_hot(y, 3) == 1, -math.inf).amax(1)
            - z.gather(1, y[:, None])[:, 0]
        ).mean(),
    ),
    LossCase(
        "CategoricalHinge",
        nn.CategoricalHinge(),
        _Z[:, :2],
        np.eye(2)[_LABELS % 2],
        [
            max(0.0, 1 + row[1 - label] - row[label])
            for row, label in zip(_Z[:, :2], _LABELS % 2, strict=True)
        ],
        # Of two classes there is one wrong one, which PyTorch's mean divides by 2.
        lambda t, z, y: 2 * t.nn.MultiMarginLoss()(z, t.argmax(y, dim=1)),
    ),
    LossCase(
        "FocalLoss",
        nn.FocalLoss(),
        _Z,
        _LABELS,
        [(1 - math.exp(-nll)) ** 2 * nll for nll in _LOGIT_NLL],
        lambda t, z, y: _torch_focal(t, z, y, 2.0, [1.0, 1.0, 1.0]),
    ),
    LossCase(
        "FocalLoss",
        nn.FocalLoss(gamma=0.5, alpha=(0.2, 1.0, 3.0)),
        _Z,
        _LABELS,
        [
            (0.2, 1.0, 3.0)[label] * (1 - math.exp(-nll)) ** 0.5 * nll
            for nll, label in zip(_LOGIT_NLL, _LABELS, strict=True)
        ],
        lambda t, z, y: _torch_focal(t, z, y, 0.5, [0.2, 1.0, 3.0]),
    ),
    LossCase(
        "FocalLoss",
        nn.FocalLoss(gamma=0.0),
        _Z,
        _ONE_HOT,
        _LOGIT_NLL,
        lambda t, z, y: t.nn.functional.cross_entropy(z, y),
    ),
]


@dataclass
class OptimizerCase:
    """An optimizer and its formula for one number: (w, g, t, memory, decays) -> new w.

    `torch` builds PyTorch's for [weights, biases], or is why there is none.
    """

    name: str
    build: Callable[[], nn.Optimizer]
    reference: Callable[[float, float, int, dict[str, float], bool], float]
    torch: Callable[[Any, list[Any]], Any] | str = ""
    matrix: Callable[[np.ndarray, np.ndarray, int, dict[str, Any]], np.ndarray] | None = None
    """The formula of the weights, where they are stepped as a whole: (w, g, t, memory) -> w."""


def _sgd(w: float, g: float, _t: int, _memory: dict[str, float], _decays: bool) -> float:
    return w - 0.1 * g


def _momentum(w: float, g: float, t: int, memory: dict[str, float], _decays: bool) -> float:
    rate = 0.1 / (1 + 0.5 * (t - 1))  # the case with decay
    memory["v"] = 0.9 * memory.get("v", 0.0) - rate * g
    return w + memory["v"]


def _nesterov(w: float, g: float, _t: int, memory: dict[str, float], _decays: bool) -> float:
    memory["v"] = 0.9 * memory.get("v", 0.0) - 0.1 * g
    return w + 0.9 * memory["v"] - 0.1 * g


def _adagrad(w: float, g: float, _t: int, memory: dict[str, float], _decays: bool) -> float:
    memory["c"] = memory.get("c", 0.0) + g**2
    return w - 0.1 * g / (math.sqrt(memory["c"]) + 1e-7)


def _rmsprop(w: float, g: float, _t: int, memory: dict[str, float], _decays: bool) -> float:
    memory["c"] = 0.9 * memory.get("c", 0.0) + 0.1 * g**2
    return w - 0.01 * g / (math.sqrt(memory["c"]) + 1e-7)


def _adam(w: float, g: float, t: int, memory: dict[str, float], _decays: bool) -> float:
    memory["m"] = 0.9 * memory.get("m", 0.0) + 0.1 * g
    memory["c"] = 0.999 * memory.get("c", 0.0) + 0.001 * g**2
    first, second = memory["m"] / (1 - 0.9**t), memory["c"] / (1 - 0.999**t)
    return w - 0.01 * first / (math.sqrt(second) + 1e-7)


def _adamw(w: float, g: float, t: int, memory: dict[str, float], decays: bool) -> float:
    return _adam(w * (1 - 0.01 * 0.1) if decays else w, g, t, memory, decays)


def _amsgrad(w: float, g: float, t: int, memory: dict[str, float], _decays: bool) -> float:
    memory["m"] = 0.9 * memory.get("m", 0.0) + 0.1 * g
    memory["c"] = 0.5 * memory.get("c", 0.0) + 0.5 * g**2
    memory["largest"] = max(memory.get("largest", 0.0), memory["c"])
    first, second = memory["m"] / (1 - 0.9**t), memory["largest"] / (1 - 0.5**t)
    return w - 0.01 * first / (math.sqrt(second) + 1e-7)


def _lion(w: float, g: float, _t: int, memory: dict[str, float], decays: bool) -> float:
    m = memory.get("m", 0.0)
    memory["m"] = 0.99 * m + 0.01 * g
    kept = w * (1 - 0.01 * 0.1) if decays else w
    return kept - 0.01 * math.copysign(1.0, 0.9 * m + 0.1 * g)


def _muon_adam(w: float, g: float, t: int, memory: dict[str, float], _decays: bool) -> float:
    memory["m"] = 0.9 * memory.get("m", 0.0) + 0.1 * g
    memory["c"] = 0.95 * memory.get("c", 0.0) + 0.05 * g**2
    first, second = memory["m"] / (1 - 0.9**t), memory["c"] / (1 - 0.95**t)
    return w - 0.02 / 64 * first / (math.sqrt(second) + 1e-7)


def _muon(w: np.ndarray, g: np.ndarray, _t: int, memory: dict[str, Any]) -> np.ndarray:
    memory["m"] = 0.95 * memory.get("m", 0.0) + g
    left, sizes, right = np.linalg.svd(g + 0.95 * memory["m"], full_matrices=False)
    sizes = sizes / math.sqrt((sizes**2).sum())
    for _ in range(5):  # the same polynomial of each singular value
        sizes = 3.4445 * sizes - 4.7750 * sizes**3 + 2.0315 * sizes**5
    scale = math.sqrt(max(1.0, w.shape[1] / w.shape[0]))
    return w * (1 - 0.02 * 0.1) - 0.02 * scale * (left * sizes) @ right


def _lookahead(w: float, g: float, t: int, memory: dict[str, float], decays: bool) -> float:
    slow = memory.setdefault("slow", w)
    w = _adamw(w, g, t, memory, decays)
    if t % 2 == 0:
        w = memory["slow"] = slow + 0.25 * (w - slow)
    return w


def _clipped_value(w: float, g: float, _t: int, _memory: dict[str, float], _decays: bool) -> float:
    return w - 0.1 * min(max(g, -0.3), 0.3)


def _scheduled(w: float, g: float, t: int, _memory: dict[str, float], _decays: bool) -> float:
    return w - 0.1 * 0.5 ** ((t - 1) // 2) * g


OPTIMIZERS = [
    OptimizerCase("SGD", lambda: nn.SGD(0.1), _sgd, lambda t, p: t.optim.SGD(p, 0.1)),
    OptimizerCase(
        "SGD",
        lambda: nn.SGD(0.1, decay=0.5, momentum=0.9),
        _momentum,
        "its velocity leaves out the learning rate, which is another where that changes",
    ),
    OptimizerCase(
        "SGD",
        lambda: nn.SGD(0.1, momentum=0.9, nesterov=True),
        _nesterov,
        lambda t, p: t.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    ),
    OptimizerCase(
        "Adagrad",
        lambda: nn.Adagrad(0.1),
        _adagrad,
        lambda t, p: t.optim.Adagrad(p, 0.1, eps=1e-7),
    ),
    OptimizerCase(
        "RMSprop",
        lambda: nn.RMSprop(0.01),
        _rmsprop,
        lambda t, p: t.optim.RMSprop(p, 0.01, alpha=0.9, eps=1e-7),
    ),
    OptimizerCase(
        "Adam", lambda: nn.Adam(0.01), _adam, lambda t, p: t.optim.Adam(p, 0.01, eps=1e-7)
    ),
    OptimizerCase(
        "AdamW",
        lambda: nn.AdamW(0.01, weight_decay=0.1),
        _adamw,
        lambda t, p: t.optim.AdamW(
            [{"params": p[:1]}, {"params": p[1:], "weight_decay": 0.0}],
            0.01,
            eps=1e-7,
            weight_decay=0.1,
        ),
    ),
    OptimizerCase(
        "Adam",
        lambda: nn.Adam(0.01, beta_2=0.5, amsgrad=True),
        _amsgrad,
        lambda t, p: t.optim.Adam(p, 0.01, betas=(0.9, 0.5), eps=1e-7, amsgrad=True),
    ),
    OptimizerCase(
        "Muon",
        lambda: nn.Muon(weight_decay=0.1),
        _muon_adam,
        "its Muon rounds to bfloat16: see test_optimizers",
        _muon,
    ),
    OptimizerCase(
        "Lookahead",
        lambda: nn.Lookahead(nn.AdamW(0.01, weight_decay=0.1), k=2, alpha=0.25),
        _lookahead,
        "it has no Lookahead",
    ),
    OptimizerCase("Lion", lambda: nn.Lion(0.01, weight_decay=0.1), _lion, "it has no Lion"),
    OptimizerCase(
        "SGD",
        lambda: nn.SGD(0.1, clip_value=0.3),
        _clipped_value,
        "it clips outside its optimizers",
    ),
    OptimizerCase(
        "SGD",
        lambda: nn.SGD(nn.StepDecay(0.1, every=2, factor=0.5)),
        _scheduled,
        "it schedules outside its optimizers: see test_schedules",
    ),
]


@dataclass
class MetricCase:
    """A metric with predictions and targets, and its figure."""

    name: str
    build: Callable[[], nn.Metric]
    y_pred: np.ndarray
    y_true: np.ndarray
    figure: Any
    sklearn: Callable[[Any, np.ndarray, np.ndarray], float] | None = None
    per_sample: list[float] | None = field(default=None, repr=False)


def _of_samples(
    name: str,
    build: Callable[[], nn.Metric],
    y_pred: np.ndarray,
    y_true: np.ndarray,
    values: list[float],
) -> MetricCase:
    return MetricCase(name, build, y_pred, y_true, sum(values) / len(values), None, values)


_SCORES = np.array([[0.2, 0.7, 0.1], [0.9, 0.8, 0.3], [0.1, 0.2, 0.6]])
_CLOSE = _SCORES + np.array([[0, 0, 0], [0.1, 0, 0], [0.04, -0.1, 0.1]])

# Ten samples of four classes, of which class 3 does not occur. Predicted are
# 0 0 1 | 1 1 2 2 | 0 2 2; true are
# 0 0 0 | 1 1 1 1 | 2 2 2.
_TEN_LABELS = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 2])
_TEN_SCORES = np.eye(4)[[0, 0, 1, 1, 1, 2, 2, 0, 2, 2]] * 2 + rng.uniform(0, 1, (10, 4))
_TEN_MATRIX = [[2, 1, 0, 0], [0, 2, 2, 0], [1, 0, 2, 0], [0, 0, 0, 0]]
# Eight yes-or-no answers. Above 0.5 are the scores of 1 1 1 0 | 1 0 0 0; no two are equal.
_EIGHT_YES = np.array([1, 1, 1, 1, 0, 0, 0, 0])
_EIGHT_SCORES = np.array([[0.9], [0.8], [0.6], [0.2], [0.7], [0.4], [0.3], [0.1]])
_FAR_TARGETS = np.array([[1001.0, 5.0], [1003.0, 6.0], [1002.0, 4.0], [1006.0, 5.0]])
_NEAR = _FAR_TARGETS + np.array([[1.0, 0.5], [-1.0, 0.5], [0.0, -0.5], [2.0, 0.5]])


def _one_against_rest(scores: np.ndarray, labels: np.ndarray) -> float:
    """The area under the ROC curve by its meaning, all pairs; the mean over the classes."""
    areas = []
    for label in sorted(set(labels.tolist())):
        of_class = [row[label] for row, truth in zip(scores, labels, strict=True) if truth == label]
        of_rest = [row[label] for row, truth in zip(scores, labels, strict=True) if truth != label]
        wins = [(a > b) + (a == b) / 2 for a in of_class for b in of_rest]
        areas.append(sum(wins) / len(wins))
    return sum(areas) / len(areas)


METRICS = [
    _of_samples(
        "CategoricalAccuracy", nn.CategoricalAccuracy, _SCORES, np.array([1, 1, 2]), [1, 0, 1]
    ),
    _of_samples(
        "CategoricalAccuracy", nn.CategoricalAccuracy, _SCORES, np.eye(3)[[1, 1, 2]], [1, 0, 1]
    ),
    _of_samples(
        "BinaryAccuracy",
        nn.BinaryAccuracy,
        _SCORES,
        np.array([[0, 1, 1], [1, 1, 0], [1, 1, 0]]),
        [2 / 3, 1, 0],
    ),
    _of_samples(
        "BinaryAccuracy",
        lambda: nn.BinaryAccuracy(0.5),
        _SCORES[:, :1],
        np.array([0, 0, 0]),
        [1, 0, 1],
    ),
    _of_samples(
        "RegressionAccuracy",
        lambda: nn.RegressionAccuracy(0.05),
        _SCORES,
        _CLOSE,
        [1, 2 / 3, 1 / 3],
    ),
    _of_samples(
        "TopKAccuracy", lambda: nn.TopKAccuracy(1), _SCORES, np.array([1, 1, 2]), [1, 0, 1]
    ),
    _of_samples(
        "TopKAccuracy", lambda: nn.TopKAccuracy(2), _SCORES, np.array([2, 1, 1]), [0, 1, 1]
    ),
    _of_samples(
        "TopKAccuracy",
        lambda: nn.TopKAccuracy(2),
        np.array([[0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0.1, 0.5, 0.5]]),
        np.eye(3)[[0, 2, 0]],
        [1, 1, 0],
    ),
    _of_samples("MAE", nn.MAE, _SCORES, _CLOSE, [0, 0.1 / 3, 0.08]),
    MetricCase(
        "MAE",
        nn.MAE,
        _NEAR,
        _FAR_TARGETS,
        0.75,
        lambda m, p, y: m.mean_absolute_error(y, p),
    ),
    MetricCase(
        "RMSE",
        nn.RMSE,
        _NEAR[:, 0:1],
        _FAR_TARGETS[:, 0],
        math.sqrt(6 / 4),
        lambda m, p, y: m.root_mean_squared_error(y, p[:, 0]),
    ),
    MetricCase("RMSE", nn.RMSE, _NEAR, _FAR_TARGETS, math.sqrt(7 / 8)),
    MetricCase(
        "R2",
        nn.R2,
        _NEAR,
        _FAR_TARGETS,
        (1 - 6 / 14 + 1 - 1 / 2) / 2,
        lambda m, p, y: m.r2_score(y, p),
    ),
    MetricCase(
        "R2",
        nn.R2,
        _NEAR[:, :1],
        _FAR_TARGETS[:, 0],
        1 - 6 / 14,
        lambda m, p, y: m.r2_score(y, p[:, 0]),
    ),
    MetricCase("R2", nn.R2, np.full((3, 1), 3.0), np.full(3, 3.0), 1.0),
    MetricCase("R2", nn.R2, np.array([[3.0], [4.0], [3.0]]), np.full(3, 3.0), 0.0),
    MetricCase(
        "ConfusionMatrix",
        lambda: nn.ConfusionMatrix(4),
        _TEN_SCORES,
        _TEN_LABELS,
        _TEN_MATRIX,
        lambda m, p, y: m.confusion_matrix(y, p.argmax(1), labels=range(4)),
    ),
    MetricCase(
        "ConfusionMatrix",
        lambda: nn.ConfusionMatrix(2),
        _EIGHT_SCORES,
        _EIGHT_YES,
        [[3, 1], [1, 3]],
    ),
    MetricCase(
        "Precision",
        nn.Precision,
        _TEN_SCORES,
        _TEN_LABELS,
        (2 / 3 + 2 / 3 + 2 / 4) / 3,
        lambda m, p, y: m.precision_score(y, p.argmax(1), average="macro"),
    ),
    MetricCase(
        "Precision",
        nn.Precision,
        _EIGHT_SCORES,
        _EIGHT_YES,
        3 / 4,
        lambda m, p, y: m.precision_score(y, p[:, 0] > 0.5),
    ),
    MetricCase("Precision", lambda: nn.Precision(threshold=0.95), _EIGHT_SCORES, _EIGHT_YES, 0),
    MetricCase(
        "Recall",
        nn.Recall,
        _TEN_SCORES,
        np.eye(4)[_TEN_LABELS],
        (2 / 3 + 2 / 4 + 2 / 3) / 3,
        lambda m, p, y: m.recall_score(y.argmax(1), p.argmax(1), average="macro"),
    ),
    MetricCase(
        "Recall",
        lambda: nn.Recall("macro", threshold=0.65),
        _EIGHT_SCORES,
        _EIGHT_YES[:, None].astype(bool),
        (3 / 4 + 2 / 4) / 2,
        lambda m, p, y: m.recall_score(y[:, 0], p[:, 0] > 0.65, average="macro"),
    ),
    MetricCase(
        "Recall",
        lambda: nn.Recall("binary"),
        np.concatenate([1 - _EIGHT_SCORES, _EIGHT_SCORES], axis=1),
        _EIGHT_YES,
        3 / 4,
        lambda m, p, y: m.recall_score(y, p.argmax(1)),
    ),
    MetricCase(
        "F1",
        nn.F1,
        _TEN_SCORES,
        _TEN_LABELS,
        (4 / 6 + 4 / 7 + 4 / 7) / 3,
        lambda m, p, y: m.f1_score(y, p.argmax(1), average="macro"),
    ),
    MetricCase(
        "F1",
        lambda: nn.F1(threshold=0.65),
        _EIGHT_SCORES,
        _EIGHT_YES,
        4 / 7,
        lambda m, p, y: m.f1_score(y, p[:, 0] > 0.65),
    ),
    MetricCase(
        "ROCAUC",
        nn.ROCAUC,
        _EIGHT_SCORES,
        _EIGHT_YES,
        (4 + 4 + 3 + 1) / 16,
        lambda m, p, y: m.roc_auc_score(y, p[:, 0]),
    ),
    MetricCase(
        "ROCAUC",
        nn.ROCAUC,
        _softmax(_TEN_SCORES[:, :3]),
        _TEN_LABELS,
        _one_against_rest(_softmax(_TEN_SCORES[:, :3]), _TEN_LABELS),
        lambda m, p, y: m.roc_auc_score(y, p, multi_class="ovr"),
    ),
    MetricCase(
        "ROCAUC",
        nn.ROCAUC,
        np.round(_TEN_SCORES, 1),
        np.eye(4)[_TEN_LABELS],
        _one_against_rest(np.round(_TEN_SCORES, 1), _TEN_LABELS),
    ),
]
