"""Tests of the stand-in itself: ``CUDA_ON_CPU=1 PYTHONPATH=tests/cuda_on_cpu pytest …``."""

import contextlib
import copy
import gc
import pickle

import numpy as np
import pytest

cupy = pytest.importorskip("cupy")
if "stand-in" not in cupy.__version__:
    pytest.skip("this CuPy is the real one", allow_module_level=True)

import array_api_compat.cupy as xp  # noqa: E402 - of the stand-in
import cupyx  # noqa: E402
import ml_dtypes  # noqa: E402
from cupy.cuda.memory import OutOfMemoryError  # noqa: E402
from cupy.cuda.runtime import CUDARuntimeError  # noqa: E402
from nvmath.bindings import cublasLt as lt  # noqa: E402, N813 - short for a long name
from nvmath.bindings.cublas import ComputeType  # noqa: E402

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _same_numbers():
    """Each test has its own, whichever ran before it in this process."""
    global RNG
    RNG = np.random.default_rng(0)


def numbers(*shape, dtype=np.float32):
    return RNG.standard_normal(shape).astype(dtype)


class Recording:
    """Records what a ``with`` does, on a stream and a pool of its own, to its `graph`."""

    def __init__(self, non_blocking=True, pool=None):
        self.stream = cupy.cuda.Stream(non_blocking=non_blocking)
        self.pool = pool or cupy.cuda.MemoryPool()

    def __enter__(self):
        self.allocator = cupy.cuda.using_allocator(self.pool.malloc)
        self.allocator.__enter__()
        self.stream.__enter__()
        self.stream.begin_capture()
        return self

    def __exit__(self, *error):
        try:
            self.graph = self.stream.end_capture()
        finally:
            self.stream.__exit__(*error)
            self.allocator.__exit__(*error)


@contextlib.contextmanager
def recording_that_fails(error):
    with pytest.raises(CUDARuntimeError, match=error), Recording() as recording:
        yield recording


class TestArrays:
    @pytest.mark.parametrize(
        "mix",
        [
            lambda a: np.asarray(a),
            lambda a: np.array(a),
            lambda a: a + np.ones(3),
            lambda a: np.ones(3) + a,
            lambda a: a @ np.ones(3),
            lambda a: cupy.where(a > 0, a, np.ones(3)),
            lambda a: cupy.concatenate([a, np.ones(3)]),
            lambda a: a.__iadd__(np.ones(3)),
            lambda a: a.__setitem__(slice(None), np.ones(3)),
            lambda a: cupy.sum([1, 2]),
            lambda a: cupy.sum(a, initial=1),
        ],
    )
    def test_nothing_mixes_with_the_host(self, mix):
        with pytest.raises(TypeError):
            mix(cupy.ones(3))

    def test_results_are_arrays_also_without_dimensions(self):
        a = cupy.asarray(numbers(2, 3))
        for result in (a.sum(), cupy.max(a), a[0, 0], a.mean(axis=0)[1], np.sqrt(a), -a, a == a):
            assert isinstance(result, cupy.ndarray)
            assert not isinstance(result, np.ndarray)
        assert isinstance(float(a.sum()), float)
        assert type(a).__module__ == "cupy"
        assert a.device == cupy.cuda.Device(0)

    def test_numbers_take_part_in_arithmetic(self):
        a = cupy.asarray(np.float32([1, 2]))
        assert (2 * a + np.float32(1)).dtype == np.float32
        assert (np.float64(2) * a).dtype == np.float64
        np.testing.assert_array_equal((1 - a).get(), [0, -1])
        np.testing.assert_array_equal((a @ a).get(), 5)

    def test_views_share_memory_and_copies_do_not(self):
        a = cupy.zeros((2, 3))
        for view in (a.T, a[0], a[:, 1], a.reshape(6), a[None], a[1, 2], cupy.asarray(a)):
            assert view.data.mem is a.data.mem
        a[0, 1] = 5
        assert float(a.T[1, 0]) == 5
        for new in (a.copy(), a + 0, a[cupy.asarray([0])], copy.deepcopy(a)):
            assert new.data.mem is not a.data.mem
        assert a[1].data.ptr == a.data.ptr + 24
        assert a.T.flags.f_contiguous

    def test_indices_beyond_the_end_wrap_as_cupys_do(self):
        a = cupy.arange(5)
        np.testing.assert_array_equal(a[cupy.asarray([5, -6])].get(), [0, 4])
        np.testing.assert_array_equal(cupy.take(a, cupy.asarray([7])).get(), [2])
        np.testing.assert_array_equal(xp.take_along_axis(a, cupy.asarray([6])).get(), [1])

    @pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
    def test_half_precision_adds_up_in_float32(self, dtype):
        ones = cupy.ones(5000, dtype=dtype)
        assert ones.sum().dtype == dtype
        assert abs(float(ones.sum()) - 5000) < 20
        assert abs(float(ones @ ones) - 5000) < 20
        assert (ones * 2).dtype == dtype

    def test_stacks_of_bfloat16_are_not_multiplied(self):
        ones = cupy.ones((2, 3, 3), ml_dtypes.bfloat16)
        for work in (lambda: ones @ ones, lambda: cupy.matmul(ones[0], ones)):
            with pytest.raises(TypeError, match="data type 'E' not understood"):
                work()
        assert float((ones[0] @ ones[0])[0, 0]) == 3

    def test_copies_from_and_to_the_host(self):
        host = numbers(3, 4)
        a = cupy.empty((3, 4), np.float32)
        a.set(host)
        np.testing.assert_array_equal(a.get(), host)
        np.testing.assert_array_equal(cupy.asnumpy(a.T), host.T)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(a)).get(), host)
        with pytest.raises(TypeError):
            a.set(host.astype(np.float64))
        with pytest.raises(ValueError, match="dtype"):
            cupy.asarray(["text"])

    def test_devices_are_kept_apart(self, monkeypatch):
        monkeypatch.setenv("CUDA_ON_CPU_DEVICES", "2")
        here = cupy.ones(3)
        with cupy.cuda.Device(1):
            there = cupy.ones(3)
            moved = cupy.asarray(here)
        assert [each.device.id for each in (here, there, moved)] == [0, 1, 1]
        assert there.get().sum() == 3
        for work in (lambda: here + there, lambda: there + 1, lambda: there.__iadd__(1)):
            with pytest.raises(ValueError, match="different from the current device"):
                work()
        assert there[1:].device.id == 1
        with pytest.raises(CUDARuntimeError, match="InvalidDevice"), cupy.cuda.Device(2):
            pass

    def test_the_array_api(self):
        a = xp.asarray(numbers(4, 3))
        assert xp.__array_namespace_info__().default_device() == cupy.cuda.Device(0)
        assert float(xp.sum(xp.astype(xp.sign(a) ** 2, xp.int64))) == 12
        assert xp.linalg.vector_norm(a).shape == ()
        values, counts = xp.unique_counts(xp.asarray([3, 1, 3]))
        assert values.get().tolist() == [1, 3]
        assert counts.get().tolist() == [1, 2]


class TestCapture:
    def test_work_is_done_by_the_launch_alone(self):
        x, y = cupy.asarray(np.float32([1, 2])), cupy.zeros(2, np.float32)
        with Recording() as recording:
            temporary = x * 3
            y[...] = temporary + cupy.asarray(x)
            y += 1
            total = y.sum()
            index = cupy.argmax(x)
        assert np.isnan(temporary.get()).all()
        assert np.isnan(float(total))
        assert int(index) == 0
        np.testing.assert_array_equal(y.get(), 0)
        recording.graph.launch()
        np.testing.assert_array_equal(y.get(), [5, 9])
        assert (float(total), int(index)) == (14, 1)
        x *= 2
        recording.graph.launch()
        np.testing.assert_array_equal(y.get(), [9, 17])

    def test_numbers_are_baked_in_and_arrays_are_not(self):
        rate, y, step = 1.0, cupy.zeros(3), cupy.ones(())
        with Recording() as recording:
            y += rate
            y += step
            step += 1
        rate = 100.0
        recording.graph.launch()
        recording.graph.launch()
        np.testing.assert_array_equal(y.get(), 1 + 1 + 1 + 2)

    def test_memory_of_a_temporary_serves_the_next_ones(self):
        x, y = cupy.ones(100), cupy.zeros(100)
        with Recording() as recording:
            for _ in range(5):
                y += x * 2 + 1
        assert recording.pool.total_bytes() == 2 * 1024
        recording.graph.launch()
        np.testing.assert_array_equal(y.get(), 15)

    @pytest.mark.parametrize(
        ("transfer", "direction"),
        [
            (lambda a: a.get(), "D2H"),
            (lambda a: a.get(out=cupyx.empty_pinned(3), blocking=False), "D2H"),
            (lambda a: a.item(), "D2H"),
            (lambda a: float(a[0]), "D2H"),
            (lambda a: bool(a[0] > 0), "D2H"),
            (lambda a: repr(a), "D2H"),
            (lambda a: cupy.asarray(np.ones(3)), "H2D"),
            (lambda a: cupy.asarray([1.0]), "H2D"),
            (lambda a: a.set(np.ones(3)), "H2D"),
            (lambda a: a.set(cupyx.zeros_pinned(3)), "H2D"),
        ],
    )
    def test_transfers_are_refused_before_anything_is_done(self, transfer, direction):
        a = cupy.ones(3)
        text = f"^the current stream is capturing, so {direction} transfers are disallowed$"
        with Recording() as recording:
            with pytest.raises(RuntimeError, match=text):
                transfer(a)
            a += 1
        recording.graph.launch()
        np.testing.assert_array_equal(a.get(), 2)

    @pytest.mark.parametrize(
        "wait",
        [
            lambda a: a[a > 0],
            lambda a: a.__setitem__(a > 0, 0),
            lambda a: cupy.nonzero(a),
            lambda a: cupy.cuda.get_current_stream().synchronize(),
            lambda a: cupy.cuda.Device().synchronize(),
            lambda a: cupy.cuda.Event().synchronize(),
        ],
    )
    def test_waiting_makes_it_invalid(self, wait):
        a = cupy.ones(3)
        with recording_that_fails("cudaErrorStreamCaptureInvalidated") as recording:
            with pytest.raises(CUDARuntimeError, match="cudaErrorStreamCaptureUnsupported"):
                wait(a)
            with pytest.raises(CUDARuntimeError, match="cudaErrorStreamCaptureInvalidated"):
                a += 1
        assert not recording.stream.is_capturing()
        assert float(a[0]) == 1

    def test_what_does_not_wait_is_taken(self):
        a = cupy.ones(3)
        with Recording() as recording:
            a.fill(2)
            a[1] = 3.0
            b = cupy.full(3, 4.0) + cupy.arange(3) + cupy.zeros(3)
        recording.graph.launch()
        np.testing.assert_array_equal(a.get(), [2, 3, 2])
        np.testing.assert_array_equal(b.get(), [4, 5, 6])

    def test_errors_of_a_call_come_at_once(self):
        a = cupy.ones(3)
        with Recording():
            for wrong in (lambda: a + cupy.ones(2), lambda: a.__iadd__(cupy.ones(2))):
                with pytest.raises(ValueError, match="broadcast"):
                    wrong()
            with pytest.raises(NotImplementedError, match="CUDA Graph does not support"):
                a @ a

    def test_the_null_stream_cannot_and_may_not_take_part(self):
        with pytest.raises(RuntimeError, match="legacy"):
            cupy.cuda.Stream.null.begin_capture()
        stream = cupy.cuda.Stream()
        stream.begin_capture()
        with pytest.raises(CUDARuntimeError, match="Implicit"):
            cupy.ones(3)
        with pytest.raises(CUDARuntimeError, match="Invalidated"):
            stream.end_capture()

    def test_another_stream_joins_and_has_to_be_joined(self):
        y, other = cupy.zeros(3), cupy.cuda.Stream(non_blocking=True)
        with Recording() as recording:
            other.wait_event(recording.stream.record())
            with other:
                y += 1
            recording.stream.wait_event(other.record())
            y *= 2
        recording.graph.launch()
        np.testing.assert_array_equal(y.get(), 2)
        with recording_that_fails("Unjoined") as recording:
            other.wait_event(recording.stream.record())
            with other:
                y += 1
        isolated = pytest.raises(CUDARuntimeError, match="Isolation")
        with recording_that_fails("Invalidated") as recording, isolated:
            recording.stream.wait_event(other.record())

    def test_a_graph_whose_memory_is_gone_is_found_out(self):
        y = cupy.zeros(3)
        with Recording() as recording:
            y += cupy.ones(3)
        graph = recording.graph
        graph.launch()
        del recording
        with pytest.raises(AssertionError, match="freed"):
            graph.launch()
        with Recording(pool=cupy.get_default_memory_pool()) as recording:
            y += cupy.ones(3)
        with pytest.raises(AssertionError, match="freed"):
            recording.graph.launch()
        kept = cupy.zeros(3)
        with Recording() as recording:
            kept += 1
        del kept
        with pytest.raises(AssertionError, match="freed"):
            recording.graph.launch()

    def test_a_graph_whose_memory_others_use_is_found_out(self):
        y = cupy.zeros(3)
        with Recording() as recording:
            y += cupy.ones(3)
        with cupy.cuda.using_allocator(recording.pool.malloc), recording.stream:
            taken = cupy.zeros(3)
        with pytest.raises(AssertionError, match="given to another"):
            recording.graph.launch()
        del taken
        recording.graph.launch()
        np.testing.assert_array_equal(y.get(), 1)


class TestMemory:
    def test_pools_count(self):
        pool = cupy.cuda.MemoryPool()
        with cupy.cuda.using_allocator(pool.malloc):
            a, b = cupy.zeros(65), cupy.zeros(1)
        assert pool.used_bytes() == 1024 + 512
        view = a[1:]
        del a, b
        assert (pool.used_bytes(), pool.free_bytes(), pool.n_free_blocks()) == (1024, 512, 1)
        del view
        assert (pool.used_bytes(), pool.total_bytes()) == (0, 1536)
        pool.free_all_blocks()
        assert pool.total_bytes() == 0

    def test_limits(self, monkeypatch):
        pool = cupy.cuda.MemoryPool()
        pool.set_limit(size=1024)
        assert pool.get_limit() == 1024
        with cupy.cuda.using_allocator(pool.malloc):
            kept = cupy.zeros(64)
            text = "allocating 1,024 bytes .allocated so far: 512 bytes, limit set to: 1,024 bytes"
            with pytest.raises(OutOfMemoryError, match=text):
                cupy.zeros(128)
            del kept
            cupy.zeros(128)
        cupy.get_default_memory_pool().free_all_blocks()  # that other tests have left
        free, total = cupy.cuda.Device().mem_info
        monkeypatch.setenv("CUDA_ON_CPU_MEMORY", str(total - free + 2**20))
        with pytest.raises(MemoryError, match="Out of memory allocating 2,097,152 bytes"):
            cupy.zeros(2**18)
        cupy.zeros(2**14)

    def test_what_is_freed_is_poisoned_in_the_default_pool_and_kept_in_others(self):
        pool = cupy.cuda.MemoryPool()
        for allocator, expected in (
            (pool.malloc, 1.0),
            (cupy.get_default_memory_pool().malloc, np.nan),
        ):
            with cupy.cuda.using_allocator(allocator):
                a = cupy.ones(3)
                room = a._host
                del a
            np.testing.assert_array_equal(room, expected)
            assert cupy.cuda.memory.block_at(room.ctypes.data).state == "free"
        with cupy.cuda.using_allocator(pool.malloc):
            assert cupy.empty(3)._host.ctypes.data != room.ctypes.data

    def test_a_pool_that_is_dropped_keeps_its_memory_for_good(self):
        gc.collect()
        before = cupy.cuda.Device().mem_info[0]
        for free_first in (True, False):
            pool = cupy.cuda.MemoryPool()
            with cupy.cuda.using_allocator(pool.malloc):
                kept = cupy.ones(2**10)
                cupy.ones(2**15)
            if free_first:
                del kept
                pool.free_all_blocks()
            del pool
            gc.collect()
            kept = None
            lost = 0 if free_first else 8 * (2**10 + 2**15)
            assert before - cupy.cuda.Device().mem_info[0] == lost
            runtime = cupy.cuda.runtime
            runtime.give_back(lost, runtime.getDevice())  # for the tests behind this one

    def test_a_devices_type_cannot_be_changed(self):
        for name in ("compute_capability", "new"):
            with pytest.raises(TypeError, match=f"cannot set '{name}' attribute of immutable"):
                setattr(cupy.cuda.Device, name, "60")
        with pytest.raises(AttributeError):
            cupy.cuda.Device().new = 1

        class Other(cupy.cuda.Device):
            compute_capability = "60"

        assert Other(0) == cupy.cuda.Device(0)
        assert Other(0).compute_capability == "60"

    def test_no_pool_at_all(self):
        before = cupy.cuda.Device().mem_info[0]
        with cupy.cuda.using_allocator(None):
            a = cupy.ones(3)
            assert cupy.cuda.Device().mem_info[0] == before - 512
        del a
        assert cupy.cuda.Device().mem_info[0] == before

    def test_arrays_on_given_memory(self):
        pointer = cupy.cuda.alloc(1024)
        a = cupy.ndarray((4,), np.float32, pointer + 512)
        a[...] = 3
        assert a.data.ptr == pointer.ptr + 512
        (pointer + 512).memset(0, 16)
        np.testing.assert_array_equal(a.get(), 0)
        with pytest.raises(ValueError, match="do not fit"):
            cupy.ndarray((1000,), np.float32, pointer)


SOURCE = r"""
#ifdef HALF
#include <cuda_fp16.h>
#endif
#include <cuda_bf16.h>
typedef TYPE T;

template <class V> __device__ __forceinline__ V over_warp(V value) {
    for (int d = 16; d; d /= 2) value += __shfl_down_sync(0xffffffffu, value, d);
    return value;
}
extern "C" __global__ void __launch_bounds__(1024) total(int n, const T* x, T* sum) {
    __shared__ double parts[32];
    double own = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) own += (float)x[i];
    own = over_warp(own);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = own;
    __syncthreads();
    if (threadIdx.x >= 32) return;
    own = over_warp(threadIdx.x < blockDim.x / 32 ? parts[threadIdx.x] : 0.0);
    if (threadIdx.x == 0) sum[blockIdx.x] = T((float)own);
}
extern "C" __global__ void tree(const T *x, T *sum) {
    extern __shared__ float parts[];
    parts[threadIdx.x] = (float)x[threadIdx.x];
    __syncthreads();
    for (int half = blockDim.x / 2; half; half /= 2) {
        if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) *sum = T(parts[0]);
}
extern "C" __global__ void where(int *x) {
    const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    atomicAdd(&x[block * blockDim.x * blockDim.y * blockDim.z + thread], 1 + (int)thread);
}
extern "C" __global__ void lanes(int *x) {
    const int lane = threadIdx.x;
    const int sum = __shfl_xor_sync(~0u, lane, 1) + __shfl_up_sync(~0u, lane, 2, 8);
    if (lane < 16) x[lane] = sum + __shfl_sync(0xffffu, lane, 3);
    else x[lane] = sum + (int)__popc(__ballot_sync(0xffff0000u, lane % 2));
}
extern "C" __global__ void divergent() { if (threadIdx.x < 3) __syncthreads(); }
extern "C" __global__ void beyond(long long n, T *x) { x[n] = T(1.0f); }
extern "C" __global__ void copied(const T *x, float *y, int n) {
    const int step = gridDim.x * blockDim.x;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) y[i] = x[i];
}
extern "C" __global__ void narrowed(const float *x, T *y, int n) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) y[i] = T(x[i]);
}
extern "C" __global__ void stale(float *x) { __shared__ float y; *x = y; __syncthreads(); y = 1; }
extern "C" __global__ void kinds(
    int a, long long b, unsigned int c, unsigned long long d, float e, double f, bool g, double *x
) { *x = a + b + c + d + (double)e + f + g; }
"""
TYPES = {
    np.float32: "-DTYPE=float",
    np.float64: "-DTYPE=double",
    np.float16: "-DTYPE=__half",
    ml_dtypes.bfloat16: "-DTYPE=__nv_bfloat16",
}


def kernel(name, dtype=np.float32):
    return cupy.RawModule(code=SOURCE, options=("-std=c++17", TYPES[dtype])).get_function(name)


class TestKernels:
    @pytest.mark.parametrize("dtype", TYPES)
    def test_reductions(self, dtype):
        x, out = cupy.asarray(numbers(1000), dtype), cupy.zeros(3, dtype)
        eps = max(float(ml_dtypes.finfo(dtype).eps), 1e-7)  # the sum passes through a float
        tolerance = 4 * eps * 1000**0.5
        kernel("total", dtype)((3,), (256,), (np.int32(1000), x, out))
        expected = x.get().astype(np.float64).sum()
        np.testing.assert_allclose(out.get().astype(np.float64), expected, tolerance, tolerance)
        kernel("tree", dtype)((1,), (512,), (x, out), shared_mem=2048)
        expected = x.get()[:512].astype(np.float64).sum()
        np.testing.assert_allclose(float(out[0]), expected, tolerance, tolerance)

    def test_grids_and_blocks_of_three_dimensions(self):
        x = cupy.zeros((2 * 3 * 4, 5 * 2 * 3), np.int32)
        kernel("where")((2, 3, 4), (5, 2, 3), (x,))
        np.testing.assert_array_equal(x.get(), np.broadcast_to(np.arange(1, 31), (24, 30)))

    def test_lanes_exchange_values(self):
        x = cupy.zeros(32, np.int32)
        kernel("lanes")((1,), (32,), (x,))
        lane = np.arange(32)
        expected = (lane ^ 1) + np.where(lane % 8 >= 2, lane - 2, lane)
        np.testing.assert_array_equal(x.get(), expected + np.where(lane < 16, 3, 8))

    @pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
    def test_conversions_of_half_precision(self, dtype):
        every = np.arange(2**16, dtype=np.uint16).view(dtype)
        wide = cupy.zeros(2**16, np.float32)
        kernel("copied", dtype)((64,), (256,), (cupy.asarray(every), wide, np.int32(2**16)))
        np.testing.assert_array_equal(wide.get(), every.astype(np.float32))
        between = RNG.integers(0, 2**32, 2**16, dtype=np.uint32).view(np.float32)
        ties = every.astype(np.float32).view(np.uint32)
        ties = np.concatenate([ties + (1 << 12), ties + (1 << 15), ties - 1, ties + 1])
        values = np.concatenate(
            [between, ties.view(np.float32), np.float32([65519, 65520, 2e-8, 3e-8])]
        )
        narrow = cupy.zeros(values.size, dtype)
        kernel("narrowed", dtype)(
            (1,), (256,), (cupy.asarray(values), narrow, np.int32(values.size))
        )
        with np.errstate(all="ignore"):
            expected = values.astype(dtype).astype(np.float32)  # NumPy knows the NaN of this type
        np.testing.assert_array_equal(narrow.get().astype(np.float32), expected)

    def test_a_barrier_that_not_all_reach(self):
        with pytest.raises(RuntimeError, match="divergent: barrier not reached by all threads"):
            kernel("divergent")((1,), (64,), ())
        out = cupy.zeros(1, np.float32)
        kernel("total")((1,), (64,), (np.int32(64), cupy.ones(64, np.float32), out))
        assert float(out[0]) == 64

    def test_shared_memory_is_not_zero_and_not_kept(self):
        out = cupy.zeros(1, np.float32)
        kernel("stale")((4,), (32,), (out,))
        assert np.isnan(float(out[0]))

    @pytest.mark.parametrize("n", [10, -1])
    def test_guards(self, n):
        x = cupy.ones(10, np.float32)
        with pytest.raises(AssertionError, match=r"the kernel beyond wrote (before|behind)"):
            kernel("beyond")((1,), (1,), (np.int64(n), x))

    def test_numbers_of_all_kinds(self):
        x = cupy.zeros(1)
        values = [np.int32(-1), np.int64(2**40), np.uint32(3), np.uint64(4), np.float32(0.5)]
        kernel("kinds")((1,), (1,), (*values, np.float64(0.25), np.bool_(True), x))
        assert float(x[0]) == 2**40 + 7.75
        values[1] = 5
        kernel("kinds")((1,), (1,), (*values, 0.25, True, x))
        assert float(x[0]) == 12.75

    @pytest.mark.parametrize(
        ("place", "value"),
        [
            (0, 1),
            (0, np.int64(1)),
            (0, np.uint32(1)),
            (1, np.int32(1)),
            (2, np.int32(1)),
            (4, 1.0),
            (4, np.float64(1)),
            (5, np.float32(1)),
            (5, 1),
            (7, np.zeros(1)),
            (7, 1.5),
            (7, "x"),
        ],
    )
    def test_arguments_of_other_types(self, place, value):
        args = [np.int32(1), 1, np.uint32(1), np.uint64(1), np.float32(1), 1.0, True, cupy.zeros(1)]
        args[place] = value
        with pytest.raises(TypeError, match=f"argument {place + 1} of kinds"):
            kernel("kinds")((1,), (1,), tuple(args))

    def test_pointers_to_other_types_and_missing_arguments(self):
        with pytest.raises(
            TypeError, match="pointer to float64 cannot point to an array of float32"
        ):
            kernel("beyond", np.float64)((1,), (1,), (0, cupy.ones(3, np.float32)))
        with pytest.raises(TypeError, match="takes 2 arguments; got 1"):
            kernel("beyond")((1,), (1,), (0,))

    @pytest.mark.parametrize(
        ("grid", "block", "shared"),
        [
            ((0,), (1,), 0),
            ((1, 65536), (1,), 0),
            ((1,), (1025,), 0),
            ((1,), (32, 33), 0),
            ((1,), (1, 1, 65), 0),
            ((1,), (1,), 49153),
        ],
    )
    def test_limits_of_a_launch(self, grid, block, shared):
        with pytest.raises(cupy.cuda.driver.CUDADriverError, match="INVALID_VALUE"):
            kernel("divergent")(grid, block, (), shared_mem=shared)

    def test_more_dynamic_shared_memory_is_to_be_asked_for(self):
        tree, x = kernel("tree"), cupy.ones(32, np.float32)
        tree.max_dynamic_shared_size_bytes = 227 * 1024
        tree((1,), (32,), (x, x), shared_mem=227 * 1024)
        assert float(x[0]) == 32
        with pytest.raises(cupy.cuda.driver.CUDADriverError):
            tree.max_dynamic_shared_size_bytes = 227 * 1024 + 1

    def test_launches_are_recorded(self):
        x, out = cupy.ones(64, np.float32), cupy.zeros(1, np.float32)
        with Recording() as recording:
            kernel("total")((1,), (64,), (np.int32(64), x * 2, out))
        assert float(out[0]) == 0
        recording.graph.launch()
        assert float(out[0]) == 128

    def test_other_devices_and_sources(self, monkeypatch):
        monkeypatch.setenv("CUDA_ON_CPU_DEVICES", "2")
        with cupy.cuda.Device(1):
            x = cupy.ones(3, np.float32)
        with pytest.raises(ValueError, match="different from the current device"):
            kernel("beyond")((1,), (1,), (0, x))
        with pytest.raises(cupy.cuda.compiler.CompileException, match=r"kernels\.cu:1"):
            cupy.RawModule(code="nonsense;").compile()
        with pytest.raises(cupy.cuda.driver.CUDADriverError, match="NOT_FOUND"):
            kernel("missing")
        with pytest.raises(TypeError, match="tuple"):
            cupy.RawModule(code=SOURCE, options=["-DTYPE=float"])
        with pytest.raises(TypeError, match="the program would crash: None is no address"):
            kernel("where")((1,), (1,), (None,))


TINY = """
extern "C" __global__ void twice(const TYPE *x, TYPE *y) {
    y[threadIdx.x] = x[threadIdx.x] * TYPE(2);
}
"""


@pytest.mark.parametrize(("dtype", "kept"), [("float32", False), ("float64", True)])
def test_small_numbers_of_float_are_flushed(dtype, kept):
    name = {"float32": "float", "float64": "double"}[dtype]
    options = "-std=c++17", f"-DTYPE={name}", f"-DWIDE={name}"
    kernel = cupy.RawModule(code=TINY, options=options).get_function("twice")
    x = np.array([1.0, np.finfo(dtype).tiny / 4, np.finfo(dtype).tiny], dtype)
    y = cupy.empty(3, dtype)
    kernel((1,), (3,), (cupy.asarray(x), y))
    assert y.get().tolist() == [2.0, x[1] * 2 if kept else 0.0, x[2] * 2]
    assert np.float32(1e-40) * np.float32(1) != 0, "it is so again outside of the kernel"


KINDS = {np.float32: 0, np.float64: 1, np.float16: 2, ml_dtypes.bfloat16: 14}


class Product:
    """D (m, n) = op(A) @ op(B), all column by column."""

    m, n, k = 20, 9, 13

    def __init__(self, epilogue="DEFAULT", dtype=np.float32, trans=(False, False), compute=None):
        self.dtype, self.trans, self.epilogue = dtype, trans, lt.Epilogue[epilogue]
        default = ComputeType.COMPUTE_64F if dtype == np.float64 else ComputeType.COMPUTE_32F
        self.scale = np.float64 if dtype == np.float64 else np.float32
        m, n, k = self.m, self.n, self.k
        self.a = self.matrix(*((k, m) if trans[0] else (m, k)))
        self.b = self.matrix(*((n, k) if trans[1] else (k, n)))
        self.c, self.d = self.matrix(m, n), self.matrix(m, n)
        self.bias = cupy.asarray(numbers(n if epilogue == "BGRADB" else m), dtype)
        self.mask = cupy.asarray(RNG.integers(0, 256, (n, 128 // 8), dtype=np.uint8))
        self.handle = lt.create()
        self.desc = lt.matmul_desc_create(
            default if compute is None else compute, KINDS[self.scale]
        )
        self.set("TRANSA", int(trans[0]))
        self.set("TRANSB", int(trans[1]))
        self.set("EPILOGUE", self.epilogue)
        self.set("BIAS_POINTER", self.bias.data.ptr)
        self.set("EPILOGUE_AUX_POINTER", self.mask.data.ptr)
        self.set("EPILOGUE_AUX_LD", 128)
        self.layouts = [
            lt.matrix_layout_create(KINDS[dtype], *x.shape, x.strides[1] // x.itemsize)
            for x in (self.a, self.b, self.c, self.d)
        ]
        self.workspace = cupy.zeros(2**16, np.uint8)
        self.alpha, self.beta = np.ones(1, self.scale), np.zeros(1, self.scale)
        self.result = np.zeros(1, lt.matmul_heuristic_result_dtype)

    def matrix(self, rows, columns):
        room = cupy.asarray(numbers(columns, rows + 4), self.dtype)
        return room[:, :rows].T

    def set(self, name, value):
        attribute = lt.MatmulDescAttribute[name]
        number = np.array([value], lt.get_matmul_desc_attribute_dtype(attribute))
        lt.matmul_desc_set_attribute(self.desc, attribute, number.ctypes.data, number.nbytes)

    def find(self, **wishes):
        preference, count = lt.matmul_preference_create(), np.zeros(1, np.int32)
        for name, value in {"MAX_WORKSPACE_BYTES": 2**16, **wishes}.items():
            attribute = lt.MatmulPreferenceAttribute[name]
            number = np.array([value], lt.get_matmul_preference_attribute_dtype(attribute))
            lt.matmul_preference_set_attribute(
                preference, attribute, number.ctypes.data, number.nbytes
            )
        found = self.result.ctypes.data, count.ctypes.data
        lt.matmul_algo_get_heuristic(self.handle, self.desc, *self.layouts, preference, 1, *found)
        return int(count[0])

    def run(self, **changes):
        given = {name: getattr(self, name).data.ptr for name in "abcd"}
        given |= {"workspace": self.workspace.data.ptr, "size": 2**16, "stream": None} | changes
        a, b, c, d = self.layouts
        stream = given["stream"]
        lt.matmul(
            *(self.handle, self.desc, self.alpha.ctypes.data, given["a"], a, given["b"], b),
            *(self.beta.ctypes.data, given["c"], c, given["d"], d, self.result.ctypes.data),
            *(given["workspace"], given["size"]),
            cupy.cuda.get_current_stream().ptr if stream is None else stream,
        )

    def operands(self):
        a, b = (x.get().astype(np.float64) for x in (self.a, self.b))
        return a.T if self.trans[0] else a, b.T if self.trans[1] else b

    def expected(self):
        """D, and the vector of biases or their gradients, in float64."""
        a, b = self.operands()
        d = self.alpha * (a @ b) + self.beta * self.c.get().astype(np.float64)
        bias = self.bias.get().astype(np.float64)
        if "BIAS" in self.epilogue.name:
            d += bias[:, None]
        if self.epilogue.name.startswith("RELU"):
            d = np.maximum(d, 0)
        if "DRELU" in self.epilogue.name:
            d = np.where(self.bits(), d, 0)
        if self.epilogue.name == "DRELU_BGRAD":
            bias = d.sum(axis=1)
        if self.epilogue.name.startswith("BGRAD"):
            bias = a.sum(axis=1) if self.epilogue.name == "BGRADA" else b.sum(axis=0)
        return d, bias

    def bits(self):
        columns = np.unpackbits(self.mask.get(), axis=1, bitorder="little")
        return columns[:, : self.m].T.astype(bool)

    def close(self, array, expected):
        """The vector's sums are as exact as their terms allow, of which some cancel."""
        eps = float(ml_dtypes.finfo(self.dtype).eps)
        atol = 40 * eps
        if expected.ndim == 1:
            a, b = self.operands()
            terms = self.alpha * (np.abs(a) @ np.abs(b)) + np.abs(self.c.get().astype(np.float64))
            atol = max(atol, eps * float(terms.sum(axis=1).max()))
        np.testing.assert_allclose(array.get().astype(np.float64), expected, 4 * eps, atol)


EPILOGUES = [
    "DEFAULT",
    "BIAS",
    "RELU",
    "RELU_BIAS",
    "RELU_AUX",
    "RELU_AUX_BIAS",
    "DRELU",
    "DRELU_BGRAD",
    "BGRADA",
    "BGRADB",
]
TRANSPOSED = [(False, False), (True, False), (False, True), (True, True)]


class TestCublasLt:
    @pytest.fixture(autouse=True)
    def _nothing_is_lacking(self, monkeypatch):
        monkeypatch.setattr(lt, "seed", None)

    @pytest.mark.parametrize("dtype", KINDS)
    @pytest.mark.parametrize("trans", TRANSPOSED)
    @pytest.mark.parametrize("epilogue", EPILOGUES)
    def test_products(self, epilogue, trans, dtype):
        product = Product(epilogue, dtype, trans)
        product.beta[0] = 0.5
        product.alpha[0] = 2
        expected, vector = product.expected()
        assert product.find() == 1
        product.run()
        product.close(product.d, expected)
        product.close(product.bias, vector)
        if "AUX" in epilogue:  # no element is 0
            np.testing.assert_array_equal(product.bits(), product.d.get().astype(np.float64) > 0)

    def test_rows_behind_the_matrix_stay_as_they_are(self):
        product = Product()
        room = cupy.ndarray((product.n, product.m + 4), np.float32, product.d.data)
        before = room.get()
        product.find()
        product.run()
        np.testing.assert_array_equal(room.get()[:, product.m :], before[:, product.m :])
        assert not np.array_equal(room.get()[:, : product.m], before[:, : product.m])

    def test_tf32_rounds_the_operands(self):
        product = Product(compute=ComputeType.COMPUTE_32F_FAST_TF32)
        product.a[...] = 1 + 2.0**-12
        product.b[...] = 1
        product.find()
        product.run()
        np.testing.assert_array_equal(product.d.get(), product.k)

    def test_it_is_recorded(self):
        product = Product("RELU_BIAS")
        product.find()
        product.d[...] = 0
        with Recording() as recording:
            product.run()
        np.testing.assert_array_equal(product.d.get(), 0)
        product.a += 1
        recording.graph.launch()
        product.close(product.d, product.expected()[0])
        with Recording(), pytest.raises(lt.cuBLASLtError, match="another one is lost"):
            product.run(stream=0)

    def test_epilogues_can_be_taken_away(self, monkeypatch):
        monkeypatch.setattr(lt, "unsupported_epilogues", {lt.Epilogue.BGRADA})
        assert Product("BGRADA").find() == 0
        assert Product("BGRADB").find() == 1

    def test_some_are_lacking_by_the_seed(self, monkeypatch):
        found = {}
        for seed in ("0", "1", "1"):
            monkeypatch.setattr(lt, "seed", seed)
            pairs = [(e, d) for e in EPILOGUES for d in KINDS]
            there = {(e, d): Product(e, d, t).find() for e, d in pairs for t in TRANSPOSED}
            assert all(there["DEFAULT", dtype] for dtype in KINDS)
            assert 0 < sum(there.values()) < len(there)
            assert found.setdefault(seed, there) == there
        assert found["0"] != found["1"]

    def test_a_relu_makes_0_of_nan_and_its_mask_is_set_at_0(self):
        z = np.float32([-1, 0, 1, np.nan, -0.0, np.inf, -np.inf, 2])
        product = Product("RELU_AUX_BIAS")
        product.a[...], product.b[...] = 0, 0
        product.bias[:8] = cupy.asarray(z)
        product.find()
        product.run()
        np.testing.assert_array_equal(product.d.get()[:8, 0], [0, 0, 1, 0, 0, np.inf, 0, 2])
        np.testing.assert_array_equal(product.bits()[:8, 0], [0, 1, 1, 1, 1, 1, 0, 1])

    def test_the_heuristic_fails_in_a_capture(self):
        product = Product()
        with Recording():
            with pytest.raises(lt.cuBLASLtError, match="INTERNAL_ERROR") as caught:
                product.find()
            assert caught.value.status == 14

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda p: p.layouts.__setitem__(0, lt.matrix_layout_create(0, 20, 13, 19)), "leading"),
            (
                lambda p: p.layouts.__setitem__(0, lt.matrix_layout_create(0, 20, 12, 24)),
                "not go into",
            ),
            (
                lambda p: p.layouts.__setitem__(3, lt.matrix_layout_create(0, 9, 20, 24)),
                "not go into",
            ),
            (lambda p: p.layouts.__setitem__(1, lt.matrix_layout_create(1, 13, 9, 17)), "types"),
            (lambda p: p.layouts.__setitem__(1, lt.matrix_layout_create(0, 0, 9, 17)), "empty"),
            (lambda p: p.set("TRANSA", 1), "not go into"),
            (lambda p: p.set("SCALE_TYPE", 1), "scale"),
            (lambda p: p.set("COMPUTE_TYPE", ComputeType.COMPUTE_64F), "types"),
            (lambda p: p.set("EPILOGUE_AUX_LD", 100), "mask"),
            (lambda p: p.set("EPILOGUE_AUX_LD", 0), "no EPILOGUE_AUX_LD"),
            (lambda p: p.set("EPILOGUE", 7), "epilogue"),
            (lambda p: p.set("BIAS_DATA_TYPE", 1), "bias"),
        ],
    )
    def test_problems_that_there_are_not(self, change, reason):
        product = Product("RELU_AUX_BIAS")
        change(product)
        with pytest.raises(lt.cuBLASLtError, match=reason):
            product.find()

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            (lambda p: {"a": 0}, "A at 0x0 is no memory"),
            (lambda p: {"a": p.a.data.ptr + 4}, "not aligned to 256"),
            (lambda p: {"b": p.b.data.ptr + 256}, "its memory ends"),
            (lambda p: {"d": p.a.data.ptr}, "D overlaps A|its memory ends"),
            (lambda p: {"size": 100}, "the algorithm wants"),
            (lambda p: {"workspace": 0}, "workspace at 0x0"),
            (lambda p: {"size": 2**17}, "workspace takes"),
            (lambda p: p.set("BIAS_POINTER", 0) or {}, "the bias at 0x0"),
            (lambda p: p.set("EPILOGUE_AUX_POINTER", 0) or {}, "the mask at 0x0"),
            (lambda p: p.set("EPILOGUE", 134) or p.set("EPILOGUE", 6) or {}, "used for"),
        ],
    )
    def test_calls_that_would_crash(self, changes, reason):
        product = Product("RELU_AUX_BIAS")
        product.find()
        with pytest.raises(lt.cuBLASLtError, match=reason):
            product.run(**changes(product))

    def test_less_alignment_can_be_asked_for(self):
        product = Product()
        product.find(MIN_ALIGNMENT_A_BYTES=4)
        room = cupy.zeros(product.a.nbytes * 2, np.uint8)
        product.run(a=room.data.ptr + 4)
        np.testing.assert_array_equal(product.d.get(), 0)

    def test_attributes(self):
        product, number = Product(), np.zeros(1, np.uint32)
        product.set("EPILOGUE", lt.Epilogue.BIAS)
        written = np.zeros(1, np.uint64)
        arguments = product.desc, lt.MatmulDescAttribute.EPILOGUE, number.ctypes.data
        lt.matmul_desc_get_attribute(*arguments, 4, written.ctypes.data)
        assert (int(number[0]), int(written[0])) == (lt.Epilogue.BIAS, 4)
        for size in (2, 8):
            with pytest.raises(lt.cuBLASLtError, match="takes 4 bytes"):
                lt.matmul_desc_set_attribute(*arguments, size)
        lt.matmul_desc_destroy(product.desc)
        with pytest.raises(lt.cuBLASLtError, match="the handle of no MatmulDesc"):
            product.find()


def test_nothing_of_it_stays_in_cycles():
    gc.collect()
    pool = cupy.cuda.MemoryPool()
    gc.disable()
    try:
        with cupy.cuda.using_allocator(pool.malloc):
            a = cupy.ones((3, 3), np.float32)
            kernel("beyond")((1,), (1,), (0, cupy.unique(a @ a + a.sum(axis=0))))
            a += a[a > 0].sum()
            del a
        assert pool.used_bytes() == 0
    finally:
        gc.enable()
