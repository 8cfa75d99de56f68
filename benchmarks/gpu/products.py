"""Device time of each kind of product by epilogue, beside our kernels for what an epilogue does.

It is why `nnfs_xp.kernels.cupy` takes cuBLASLt's BIAS and BGRADA, and leaves its ReLUs out: those
make 0 of NaN, let the gradient through where the output is 0 or NaN, and took longer than a plain
product and a kernel of our own on an H100.

Usage: python -m benchmarks.gpu.products [--seconds 150]
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import cupy
import numpy as np

import nnfs_xp as nn
from benchmarks.gpu.results import Results, Setting, part_parser, results_of
from benchmarks.gpu.smoke_checks import AT, short
from nnfs_xp.backend import to_numpy
from nnfs_xp.kernels.cupy import cublaslt, layers

_log = logging.getLogger(__name__)

SHAPES = (
    *((128, 784, 512), (128, 512, 512), (128, 512, 10)),
    *((2048, 784, 512), (2048, 512, 512), (8192, 4096, 4096)),
)
"""(n, k, m): the batch, the layer's inputs and its outputs."""

LARGE = 8192
"""The batch from which on fewer runs are enough."""

MOST = 8
"""Algorithms of the heuristic's list that are tried."""

MASK_UNIT = 128
"""Columns that a ReLU's mask, a bit for each output, is padded to a multiple of."""

_SPARE = 5.0


class Product(NamedTuple):
    """What is multiplied, and what is done to it.

    Attributes
    ----------
    a, b, out : array
    epilogue : str
        A name in cuBLASLt's Epilogue.
    vector : array or None
        Biases, or room for sums.
    mask : array or None
        Of bits.
    """

    a: Any
    b: Any
    out: Any
    epilogue: str = "DEFAULT"
    vector: Any = None
    mask: Any = None

    def plan(self, kind: str) -> cublaslt.Plan:
        """The plan, with all its pointers; `kind` is a data type, or ``"tf32"``."""
        lt = cublaslt.library()
        a, b, out = (cublaslt.layout_of(array) for array in (self.a, self.b, self.out))
        assert a is not None and b is not None and out is not None  # noqa: PT018 # of one kind
        plan = cublaslt.Plan(
            lt,
            "float32" if kind == "tf32" else kind,
            kind == "tf32",
            self.epilogue,
            (*self.a.shape, self.b.shape[1]),
            a,
            b,
            out,
            self.alignments(),
        )
        names = lt.MatmulDescAttribute
        if self.vector is not None:
            plan.set(names.BIAS_POINTER, self.vector.data.ptr)
        if self.mask is not None:
            plan.set(names.EPILOGUE_AUX_LD, padded(self.out.shape[1]))
            plan.set(names.EPILOGUE_AUX_POINTER, self.mask.data.ptr)
        return plan

    def alignments(self) -> tuple[int, int, int]:
        """In bytes, of a, b and out."""
        a, b, out = map(cublaslt.alignment, (self.a, self.b, self.out))
        return a, b, out


def padded(columns: int) -> int:
    """The bits of a row of a mask."""
    return -(-columns // MASK_UNIT) * MASK_UNIT


def mask_for(output: Any, fill: int = 0) -> Any:
    """A mask for an output."""
    n, m = output.shape
    return cupy.full(n * padded(m) // 8, fill, np.uint8)


def products(backend: Any, n: int, k: int, m: int, dtype: str) -> dict[str, Product]:
    """Forward, the inputs' gradient and the weights', each with the epilogues that it may have."""
    generator = np.random.default_rng(0)

    def place(*shape: int) -> Any:
        return backend.asarray(generator.standard_normal(shape, dtype=np.float32), dtype)

    x, w, v, dz = place(n, k), place(k, m), place(1, m), place(n, m)
    y, dx, dw = (cupy.empty(shape, x.dtype) for shape in ((n, m), (n, k), (k, m)))
    return {
        "y": Product(x, w, y),
        "y BIAS": Product(x, w, y, "BIAS", v),
        "y RELU_BIAS": Product(x, w, y, "RELU_BIAS", v),
        "y RELU_AUX_BIAS": Product(x, w, y, "RELU_AUX_BIAS", v, mask_for(y)),
        "dx": Product(dz, w.T, dx),
        "dx DRELU_BGRAD": Product(dz, w.T, dx, "DRELU_BGRAD", place(1, k), mask_for(dx, 0x55)),
        "dw": Product(x.T, dz, dw),
        "dw BGRADA": Product(x.T, dz, dw, "BGRADA", v),
    }


def device_us(work: Callable[[], Any], repeats: int) -> float:
    """Microseconds of the device for each run, in a graph of so many; the best of three launches.

    What the work returns is kept, so that no memory is used twice.
    """
    stream, pool = cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool()
    with cupy.cuda.using_allocator(pool.malloc), stream:
        kept = [work()]
        stream.synchronize()
        stream.begin_capture()
        try:
            kept += [work() for _ in range(repeats)]
        finally:
            graph = stream.end_capture()
        begin, end = cupy.cuda.Event(), cupy.cuda.Event()
        times = []
        graph.launch()
        for _ in range(3):
            begin.record(stream)
            graph.launch()
            end.record(stream)
            end.synchronize()
            times.append(cupy.cuda.get_elapsed_time(begin, end) * 1000 / repeats)
    return float(min(times))


def algorithms(plan: cublaslt.Plan, product: Product, most: int) -> list[Any]:
    """The first algorithms of the heuristic's list, as it orders them."""
    lt = cublaslt.library()
    names = lt.MatmulPreferenceAttribute
    a, b, out = product.alignments()
    preference = lt.matmul_preference_create()
    results, count = np.zeros(most, lt.matmul_heuristic_result_dtype), np.zeros(1, np.int32)
    layouts = plan.layout_a, plan.layout_b, plan.layout_d, plan.layout_d
    try:
        for attribute, value, kind in (
            (names.MAX_WORKSPACE_BYTES, cublaslt._WORKSPACE, np.uint64),
            (names.MIN_ALIGNMENT_A_BYTES, b, np.uint32),
            (names.MIN_ALIGNMENT_B_BYTES, a, np.uint32),
            (names.MIN_ALIGNMENT_C_BYTES, out, np.uint32),
            (names.MIN_ALIGNMENT_D_BYTES, out, np.uint32),
        ):
            number = np.array([value], kind)
            address = number.ctypes.data, number.nbytes
            lt.matmul_preference_set_attribute(preference, int(attribute), *address)
        found = most, results.ctypes.data, count.ctypes.data
        lt.matmul_algo_get_heuristic(_handle(), plan.descriptor, *layouts, preference, *found)
    except lt.cuBLASLtError as error:
        _log.warning("no algorithm: %s", short(error))
        return []
    finally:
        lt.matmul_preference_destroy(preference)
    return [results[n : n + 1].copy() for n in range(int(count[0])) if not results["state"][n]]


def _handle() -> int:
    return int(cublaslt._handle(cublaslt.library(), cupy.cuda.runtime.getDevice()))


def timed(product: Product, kind: str, most: int, repeats: int) -> str:
    """The first algorithm's time, and the best one's, in a cell of the table."""
    plan = product.plan(kind)
    times = []
    for algorithm in algorithms(plan, product, most):
        plan._results = algorithm

        def work(plan: cublaslt.Plan = plan) -> None:
            plan.run(_handle(), product.a, product.b, product.out)

        try:
            times.append(device_us(work, repeats))
        except Exception as error:
            _log.warning("an algorithm is refused: %s", short(error))
            times.append(float("nan"))
        size = int(algorithm["workspace_size"][0]) >> 10
        print(f"  {product.epilogue}: {times[-1]:.1f} µs, {size} KiB of workspace", flush=True)
    plan.close()
    return f"{times[0]:.1f} / {np.nanmin(times):.1f}" if times else "none"


def own_kernels(
    backend: Any, n: int, m: int, dtype: str
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What is run in an epilogue's place."""
    generator = np.random.default_rng(0)
    y, output, v = (
        backend.asarray(generator.standard_normal(shape, dtype=np.float32), dtype)
        for shape in ((n, m), (n, m), (1, m))
    )
    sums, xp, kernels = cupy.empty((1, m), y.dtype), backend.xp, backend.kernels
    yield "biases and ReLU", lambda: layers.add_biases(y, v, with_relu=True)
    yield "ReLU back, sums", lambda: kernels.relu_backward_biases(xp, y, output, sums)
    yield "column sums", lambda: layers.column_sums(xp, y, sums)
    yield "ReLU back", lambda: kernels.relu_backward(xp, y, output)


def at_zero_and_nan(results: Results, backend: Any, dtype: str) -> None:
    """What cuBLASLt's ReLUs make of eight values, and which of them their mask lets through."""
    ones, z = backend.asarray(np.ones((16, 1)), dtype), backend.asarray(np.array([AT]), dtype)
    vector = backend.asarray(np.zeros((1, len(AT))), dtype)
    for epilogue in ("RELU_BIAS", "RELU_AUX_BIAS"):
        out = cupy.empty((16, len(AT)), z.dtype)
        mask = mask_for(out) if "AUX" in epilogue else None
        product = Product(ones, z, out, epilogue, vector, mask)
        plan = product.plan(dtype)
        found = algorithms(plan, product, 1)
        cells = dict.fromkeys(map(str, AT), "none")
        if found:
            plan._results = found[0]
            plan.run(_handle(), ones, z, out)
            cells = dict(zip(cells, map(str, to_numpy(out)[0]), strict=True))
        if found and mask is not None:
            bits = np.unpackbits(cupy.asnumpy(mask), bitorder="little")[: len(AT)]
            cells = {at: f"{value}, mask {bits[n]}" for n, (at, value) in enumerate(cells.items())}
        results.row("cuBLASLt's ReLU of these values", what=f"{dtype} {epilogue}", **cells)
        plan.close()


def main() -> None:
    """Measure what there is time for."""
    options = part_parser("products").parse_args()
    logging.basicConfig(level=logging.INFO)
    end = time.monotonic() + options.seconds - _SPARE
    results, setting = results_of(options, "products"), Setting.here()
    backend = nn.get_backend(setting.backend)
    shapes = SHAPES[1:3] if setting.quick else SHAPES
    most, repeats = (1, 2) if setting.quick else (MOST, 10)
    for dtype in ("float32", "bfloat16"):
        with results.attempt(f"ReLUs of cuBLASLt, {dtype}"):
            at_zero_and_nan(results, backend, dtype)
    for kind in ("float32", "tf32", "bfloat16"):
        dtype = "float32" if kind == "tf32" else kind
        for n, k, m in shapes:
            title = f"{kind}, {n} x {k} x {m}"
            if time.monotonic() > end:
                results.absent(title, "not begun: the time was over")
                continue
            if n >= LARGE and kind == "float32":
                continue  # it takes long, and is bound by the multiplications
            runs = 3 if n >= LARGE else repeats
            with results.attempt(f"{title}: it runs"):
                made = products(backend, n, k, m, dtype)
                cells = {name: timed(each, kind, most, runs) for name, each in made.items()}
                table = f"µs of a product: the first algorithm / the best of {most}"
                results.row(table, product=title, **cells)
                del made
                if kind == "tf32":
                    continue  # no kernel of ours knows it
                own = own_kernels(backend, n, m, dtype)
                cells = {name: f"{device_us(work, runs):.1f}" for name, work in own}
                results.row("µs of our own kernels", of=f"{dtype}, {n} x {m}", **cells)


if __name__ == "__main__":
    main()
