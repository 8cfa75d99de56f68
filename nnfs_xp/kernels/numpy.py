"""Kernels for NumPy: better than the standard's where NumPy has more than the standard.

Results go into arrays that are there already, integer views stand in for slow selections, and
the optimizers go through their arrays in blocks that stay in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from nnfs_xp.kernels.standard import StandardKernels, Window
from nnfs_xp.kernels.standard.convolution import padded
from nnfs_xp.kernels.standard.random import BITS, Keys
from nnfs_xp.kernels.threads import Threads, threads_of_blas

Array: TypeAlias = Any
"""A NumPy array."""

_INTEGERS: dict[Any, Any] = {np.dtype(np.float32): np.int32, np.dtype(np.float64): np.int64}

_BLOCK = 2**18
"""Elements of a block, an array's part of which takes 1 MB in float32."""

_PAGE, _STAGGER = 4096, 1088
"""Bytes. Arrays in different places start at different offsets within a page: a load waits for a
store to the same offset of another page, which a pass over several arrays would make the rule."""


def keep_memory() -> None:
    """Have the C library keep freed memory for the next step, not hand it back and fetch it anew.

    glibc gives the top of its heap back when more is free there than twice the largest block that
    was ever mapped and freed, up to blocks of 32 MB: so one such block, never written to, is
    allocated and freed here. Without it every step of a large batch has its pages mapped and
    zeroed again.
    """
    np.empty(2**25 - 2**16, np.uint8)


def product_of(a: Array, b: Array) -> Any:
    """The function of NumPy that makes a @ b fastest."""
    # NumPy hands no product of a column and a row to the BLAS, and its own loop is slow.
    return np.multiply if a.shape[1] == 1 == b.shape[0] else np.matmul


def _by_member(array: Array) -> Array:
    """A view of shape (members, rows, features) of an array of (rows, members, features)."""
    return array.transpose(1, 0, 2)


def _selected(mask: Array, values: Array) -> Array:
    """Select the values where the mask is True, else 0: `numpy.where` takes ten times as long."""
    integer = _INTEGERS.get(values.dtype)
    if integer is None:
        return np.where(mask, values, values.dtype.type(0))
    bits = np.multiply(mask, integer(-1))  # all bits set, or none
    bits &= values.view(integer)
    return bits.view(values.dtype)


def _classes(labels: Array, rows: Array) -> Array | None:
    """Integers, one for each row, as int64; None where any is no class, or they are none."""
    if labels.dtype.kind not in "iu" or labels.ndim != 1 or rows.ndim != 2 or not labels.size:
        return None
    labels = labels.astype(np.int64, copy=False)
    return labels if labels.view(np.uint64).max() < rows.shape[1] else None  # large if negative


def _mean_of_rows(terms: Array) -> Array:
    means = np.add.reduce(terms, axis=-1)
    means /= terms.shape[-1]
    return means


def _reduced(ufunc: np.ufunc, rows: Array) -> Array:
    """``ufunc.reduce`` over the last axis, which stays.

    NumPy begins anew with each row, so many rows of few columns go column by column.
    """
    n_columns = rows.shape[-1]
    if not 1 < n_columns <= 4 or rows.size < 256:
        return ufunc.reduce(rows, axis=-1, keepdims=True)
    result = ufunc(rows[..., :1], rows[..., 1:2])
    for column in range(2, n_columns):
        ufunc(result, rows[..., column : column + 1], out=result)
    return result


def _hash(shape: tuple[int, ...], keys: Keys) -> Array:
    """`standard.random_bits` in uint32, where products overflow as they are meant to."""
    first, second, start = keys
    bits = np.arange(np.prod(shape), dtype=np.uint32)
    if start:
        bits += np.uint32(start)
    bits ^= np.uint32(first)
    bits ^= bits >> 16
    bits *= np.uint32(0x21F0AAAD)
    bits ^= np.uint32(second)
    bits ^= bits >> 15
    bits *= np.uint32(0x735A2D97)
    bits ^= bits >> 15
    bits >>= 32 - BITS
    return bits.reshape(shape)


def _blocks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Parts of the flat arrays, and behind them room of the same size to work in."""
    size = arrays[0].size
    room = np.empty(min(size, _BLOCK), arrays[0].dtype)
    for start in range(0, size, _BLOCK):
        parts = [array[start : start + _BLOCK] for array in arrays]
        yield *parts, room[: parts[0].size]


def corrected(
    t: int, rate: float, beta_1: float, beta_2: float, epsilon: float
) -> tuple[float, float]:
    """Rate and epsilon with Adam's corrections of m and c in them, so that the arrays need none.

    a * m / (sqrt(c / b) + epsilon) = a * sqrt(b) * m / (sqrt(c) + epsilon * sqrt(b)).
    """
    root = float((1 - beta_2**t) ** 0.5)
    return rate / (1 - beta_1**t) * root, epsilon * root


def _add_gradients(m: Array, g: Array, beta: float, room: Array) -> None:
    m *= beta
    np.multiply(g, 1 - beta, out=room)
    m += room


def _add_squares(c: Array, g: Array, beta: float, room: Array) -> None:
    c *= beta
    np.multiply(g, g, out=room)
    room *= 1 - beta
    c += room


def _divided(
    values: Array, direction: Array, c: Array, rate: float, epsilon: float, room: Array
) -> None:
    """Take the step values -= rate * direction / (sqrt(c) + epsilon)."""
    np.sqrt(c, out=room)
    room += epsilon
    np.divide(direction, room, out=room)
    room *= rate
    values -= room


class NumPyKernels(StandardKernels):
    """What NumPy does better than the standard's expressions."""

    @property
    def threads(self) -> Threads | None:
        return threads_of_blas()

    def flat_zeros(self, xp: Any, size: int, dtype: Any, device: Any, place: int) -> Array:
        n_bytes = size * np.dtype(dtype).itemsize
        room = np.zeros(n_bytes + 2 * _PAGE, np.uint8)
        start = -room.ctypes.data % _PAGE + place * _STAGGER % _PAGE
        return room[start : start + n_bytes].view(dtype)

    def dense_gradients(
        self, xp: Any, inputs: Array, dvalues: Array, dweights: Array, dbiases: Array
    ) -> None:
        self.matmul_into(xp, inputs.T, dvalues, dweights)
        np.add.reduce(dvalues, axis=0, keepdims=True, out=dbiases)

    def product(self, xp: Any, a: Array, b: Array) -> Array:
        return product_of(a, b)(a, b)

    def matmul_into(self, xp: Any, a: Array, b: Array, out: Array) -> None:
        product_of(a, b)(a, b, out=out)

    def member_dense(self, xp: Any, inputs: Array, weights: Array, biases: Array) -> Array:
        output = np.empty((*inputs.shape[:2], weights.shape[2]), inputs.dtype)
        np.matmul(_by_member(inputs), weights, out=_by_member(output))
        output += biases
        return output

    def member_dense_gradients(
        self, xp: Any, inputs: Array, dvalues: Array, dweights: Array, dbiases: Array
    ) -> None:
        np.matmul(_by_member(inputs).transpose(0, 2, 1), _by_member(dvalues), out=dweights)
        np.add.reduce(dvalues, axis=0, out=dbiases)

    def member_dense_backward(self, xp: Any, dvalues: Array, weights: Array) -> Array:
        if weights.shape[2] > 1:
            return super().member_dense_backward(xp, dvalues, weights)
        return dvalues * weights[:, :, 0]  # see `product_of`

    most_patch_numbers = 2**18

    def patches(self, xp: Any, inputs: Array, window: Window) -> Array:
        if window.is_pixel or min(window.strides + window.dilation) < 1:
            return super().patches(xp, inputs, window)
        n, height, width, channels = inputs.shape
        down, across = window.places(height, width)
        around: Array = padded(xp, inputs, window)
        steps = around.strides
        seen = np.lib.stride_tricks.as_strided(
            around,
            (n, down, across, *window.size, channels),
            (
                steps[0],
                *(step * stride for step, stride in zip(steps[1:3], window.strides, strict=True)),
                *(step * apart for step, apart in zip(steps[1:3], window.dilation, strict=True)),
                steps[3],
            ),
            writeable=False,
        )
        return seen.reshape(n * down * across, -1)

    def bias_relu(self, xp: Any, products: Array, biases: Array) -> Array:
        products += biases
        return np.maximum(products, 0.0, out=products)

    def relu_backward(self, xp: Any, dvalues: Array, output: Array) -> Array:
        return _selected(output > 0, dvalues)

    def relu_backward_biases(self, xp: Any, dvalues: Array, output: Array, dbiases: Array) -> Array:
        dinputs = self.relu_backward(xp, dvalues, output)
        np.add.reduce(dinputs, axis=0, keepdims=True, out=dbiases)
        return dinputs

    def embedding_gradient(self, xp: Any, codes: Array, dvalues: Array, dweights: Array) -> None:
        dweights[...] = 0
        np.add.at(dweights, codes, dvalues)

    def less_one_hot(self, xp: Any, rows: Array, labels: Array) -> Array:
        classes = _classes(labels, rows)
        if classes is None:
            return super().less_one_hot(xp, rows, labels)
        less = rows.copy()
        less[np.arange(classes.size), classes] -= 1
        return less

    def picked(self, xp: Any, rows: Array, labels: Array) -> Array:
        classes = _classes(labels, rows)
        if classes is None:
            return super().picked(xp, rows, labels)
        return rows[np.arange(classes.size), classes]

    def softmax_cross_entropy(
        self, xp: Any, logits: Array, y_true: Array, label_smoothing: float
    ) -> tuple[Array, Array]:
        n = logits.shape[0]
        classes = None if label_smoothing else _classes(y_true, logits)
        if classes is None:
            return super().softmax_cross_entropy(xp, logits, y_true, label_smoothing)
        rows = np.arange(n)
        shifted = logits - _reduced(np.maximum, logits)
        dinputs = np.exp(shifted)
        sums = _reduced(np.add, dinputs)
        losses = np.log(sums[:, 0]) - shifted[rows, classes]
        dinputs /= sums
        dinputs[rows, classes] -= 1
        dinputs /= n
        return losses, dinputs

    def squared_error(self, xp: Any, y_pred: Array, y_true: Array) -> tuple[Array, Array]:
        d = y_pred - y_true
        losses = _mean_of_rows(d * d)
        d *= 2 / d.size
        return losses, d

    def absolute_error(self, xp: Any, y_pred: Array, y_true: Array) -> tuple[Array, Array]:
        d = y_pred - y_true
        losses = _mean_of_rows(np.abs(d))
        np.sign(d, out=d)
        d /= d.size
        return losses, d

    def huber(self, xp: Any, y_pred: Array, y_true: Array, delta: float) -> tuple[Array, Array]:
        d = y_pred - y_true
        c = np.minimum(np.maximum(d, -delta), delta)
        d -= c / 2
        d *= c
        c /= c.size
        return _mean_of_rows(d), c

    def softmax(self, xp: Any, logits: Array) -> Array:
        output = logits - _reduced(np.maximum, logits)
        np.exp(output, out=output)
        output /= _reduced(np.add, output)
        return output

    def random_bits(self, xp: Any, shape: tuple[int, ...], keys: Keys, device: Any) -> Array:
        return _hash(shape, keys).astype(np.int64)

    def dropout(
        self, xp: Any, inputs: Array, threshold: int, scale: float, keys: Keys, device: Any
    ) -> tuple[Array, Array]:
        kept = _hash(inputs.shape, keys) >= threshold
        return self.dropout_backward(xp, inputs, kept, scale), kept

    def dropout_backward(self, xp: Any, dvalues: Array, kept: Array, scale: float) -> Array:
        dinputs = _selected(kept, dvalues)
        dinputs *= scale
        return dinputs

    def sgd(self, xp: Any, values: Array, g: Array, rate: float) -> None:
        for w, dw, step in _blocks(values, g):
            np.multiply(dw, rate, out=step)
            w -= step

    def momentum(
        self,
        xp: Any,
        values: Array,
        g: Array,
        v: Array,
        rate: float,
        momentum: float,
        nesterov: bool,
    ) -> None:
        for w, dw, u, _ in _blocks(values, g, v):
            StandardKernels.momentum(self, xp, w, dw, u, rate, momentum, nesterov)

    def adagrad(
        self, xp: Any, values: Array, g: Array, c: Array, rate: float, epsilon: float
    ) -> None:
        for w, dw, a, step in _blocks(values, g, c):
            np.multiply(dw, dw, out=step)
            a += step
            _divided(w, dw, a, rate, epsilon, step)

    def rmsprop(
        self, xp: Any, values: Array, g: Array, c: Array, rate: float, rho: float, epsilon: float
    ) -> None:
        for w, dw, a, step in _blocks(values, g, c):
            _add_squares(a, dw, rho, step)
            _divided(w, dw, a, rate, epsilon, step)

    def adam(
        self,
        xp: Any,
        values: Array,
        g: Array,
        m: Array,
        c: Array,
        t: int,
        rate: float,
        beta_1: float,
        beta_2: float,
        epsilon: float,
    ) -> None:
        rate, epsilon = corrected(t, rate, beta_1, beta_2, epsilon)
        for w, dw, p, a, step in _blocks(values, g, m, c):
            _add_gradients(p, dw, beta_1, step)
            _add_squares(a, dw, beta_2, step)
            _divided(w, p, a, rate, epsilon, step)

    def amsgrad(
        self,
        xp: Any,
        values: Array,
        g: Array,
        m: Array,
        c: Array,
        largest: Array,
        t: int,
        rate: float,
        beta_1: float,
        beta_2: float,
        epsilon: float,
    ) -> None:
        rate, epsilon = corrected(t, rate, beta_1, beta_2, epsilon)
        for w, dw, p, a, most, step in _blocks(values, g, m, c, largest):
            _add_gradients(p, dw, beta_1, step)
            _add_squares(a, dw, beta_2, step)
            np.maximum(most, a, out=most)
            _divided(w, p, most, rate, epsilon, step)

    def lion(
        self, xp: Any, values: Array, g: Array, m: Array, rate: float, beta_1: float, beta_2: float
    ) -> None:
        for w, dw, p, _ in _blocks(values, g, m):
            StandardKernels.lion(self, xp, w, dw, p, rate, beta_1, beta_2)

    def sum_squares(self, xp: Any, values: Array) -> Array:
        return np.vdot(values, values)

    def norm(self, xp: Any, values: Array) -> Array:
        squares = np.vdot(values, values)
        limits = np.finfo(values.dtype)
        if values.size * limits.tiny / limits.eps < squares < np.inf:
            return np.sqrt(squares)
        return super().norm(xp, values)

    def clip(self, xp: Any, values: Array, bound: float) -> None:
        np.maximum(values, -bound, out=values)
        np.minimum(values, bound, out=values)

    def average(self, xp: Any, averages: Array, values: Array, decay: float) -> None:
        for a, w, room in _blocks(averages, values):
            _add_gradients(a, w, decay, room)
