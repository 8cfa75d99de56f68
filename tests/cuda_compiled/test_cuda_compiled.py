"""What can be shown of the CUDA code without a device: that it compiles, and what cuBLASLt is told.

Needs CuPy, NVRTC, the CUDA headers and cuBLAS, but neither a driver nor a GPU: ``nox -s cuda``.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from cupy._core import core
from cupy.cuda import compiler
from nvmath.bindings import cublas, cublasLt

from nnfs_xp.kernels.cupy import compilation, cublaslt
from nnfs_xp.kernels.cupy.cublaslt import Layout, Plan, alignment, layout_of

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")

OPTIONS = (
    *core.assemble_cupy_compiler_options(()),
    *("-std=c++17", "-ftz=true", "--device-as-default-execution-space"),
)
"""What CuPy tells NVRTC of a source of ours, but for the types and the architecture."""


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", compilation.OPTIONS)
@pytest.mark.parametrize("name", compilation.SOURCES)
def test_every_source_compiles_to_machine_code(name, dtype, architecture):
    options = (*OPTIONS, f"-arch={architecture}", *compilation.OPTIONS[dtype])
    code = compilation.source(name)
    program = compiler._NVRTCProgram(code, f"{name}.cu", method="cubin")
    binary = program.compile(options)[0]
    assert binary[:4] == b"\x7fELF"
    kernels = re.findall(r'extern "C" __global__ void (?:__launch_bounds__\(\d+\) )?(\w+)\(', code)
    assert kernels
    for kernel in kernels:
        assert kernel.encode() in binary


def test_all_sources_are_listed():
    files = {path.stem for path in compilation.FOLDER.glob("*.cu")}
    shared = {name for names in compilation.SHARED.values() for name in names}
    assert files == {*compilation.SOURCES, *shared, "common"}


def test_a_fault_in_a_source_is_found():
    program = compiler._NVRTCProgram("__global__ void f() { g(); }", "f.cu", method="cubin")
    with pytest.raises(compiler.CompileException):
        program.compile((*OPTIONS, "-arch=sm_90"))


def test_the_numbers_are_the_librarys():
    assert cublaslt._COMPUTE_32F == cublas.ComputeType.COMPUTE_32F
    assert cublaslt._COMPUTE_TF32 == cublas.ComputeType.COMPUTE_32F_FAST_TF32
    assert cublaslt._COMPUTE_64F == cublas.ComputeType.COMPUTE_64F


def read(get, dtype_of, handle, attribute):
    number = np.zeros(1, dtype_of(attribute))
    written = np.zeros(1, np.uint64)
    get(handle, int(attribute), number.ctypes.data, number.nbytes, written.ctypes.data)
    assert written[0] == number.nbytes
    return int(number[0])


def of_descriptor(plan, name):
    attribute = cublasLt.MatmulDescAttribute[name]
    dtype_of = cublasLt.get_matmul_desc_attribute_dtype
    return read(cublasLt.matmul_desc_get_attribute, dtype_of, plan.descriptor, attribute)


def of_layout(layout):
    def get(name):
        attribute = cublasLt.MatrixLayoutAttribute[name]
        dtype_of = cublasLt.get_matrix_layout_attribute_dtype
        return read(cublasLt.matrix_layout_get_attribute, dtype_of, layout, attribute)

    return tuple(get(name) for name in ("TYPE", "ROWS", "COLS", "LD"))


def plan(dtype="float32", epilogue="DEFAULT", a=None, b=None, *, tf32=False):
    """Of (5, 3) @ (3, 7)."""
    a, b = a or Layout(False, 3), b or Layout(False, 7)
    return Plan(cublasLt, dtype, tf32, epilogue, (5, 3, 7), a, b, Layout(False, 7), (256,) * 3)


TYPES = {  # CUDA's number of the type, of the computation, of the factors
    ("float32", False): (0, 68, 0),
    ("float32", True): (0, 77, 0),
    ("float64", False): (1, 70, 1),
    ("float16", False): (2, 68, 0),
    ("bfloat16", False): (14, 68, 0),
}


@pytest.mark.parametrize(("dtype", "tf32"), TYPES)
def test_types(dtype, tf32):
    made = plan(dtype, tf32=tf32)
    kind, compute, scale = TYPES[dtype, tf32]
    assert of_descriptor(made, "COMPUTE_TYPE") == compute
    assert of_descriptor(made, "SCALE_TYPE") == scale
    assert of_layout(made.layout_a)[0] == of_layout(made.layout_d)[0] == kind
    assert made._one.dtype == made._zero.dtype == made.scale
    assert (made._one[0], made._zero[0]) == (1, 0)


@pytest.mark.parametrize("a_turned", [False, True])
@pytest.mark.parametrize("b_turned", [False, True])
def test_transposes_and_leading_dimensions(a_turned, b_turned):
    made = plan(a=Layout(a_turned, 9), b=Layout(b_turned, 11))
    assert of_descriptor(made, "TRANSA") == b_turned, "cuBLASLt's A is our b"
    assert of_descriptor(made, "TRANSB") == a_turned
    # In memory, column by column: b (3, 7) row by row is (7, 3), and column by column (3, 7).
    assert of_layout(made.layout_a)[1:] == ((3, 7, 11) if b_turned else (7, 3, 11))
    assert of_layout(made.layout_b)[1:] == ((5, 3, 9) if a_turned else (3, 5, 9))
    assert of_layout(made.layout_d)[1:] == (7, 5, 7)


EPILOGUES = {"DEFAULT": 1, "BIAS": 4, "BGRADA": 256}


@pytest.mark.parametrize("epilogue", EPILOGUES)
def test_epilogues_and_their_pointers(epilogue):
    made = plan(epilogue=epilogue)
    assert of_descriptor(made, "EPILOGUE") == EPILOGUES[epilogue]
    fake = type("Array", (), {"data": type("Data", (), {"ptr": 0x7F0000001230})})
    made.point(fake)
    assert of_descriptor(made, "BIAS_POINTER") == 0x7F0000001230


def test_where_arrays_lie():
    wide = np.zeros((6, 20), np.float32)
    assert layout_of(wide) == (False, 20)
    assert layout_of(wide.T) == (True, 20)
    assert layout_of(wide[:, :5]) == (False, 20)
    assert layout_of(wide[1:, 3:].T) == (True, 20)
    assert layout_of(wide[:1]) == (False, 20)
    assert layout_of(wide[:1, :5]) == (False, 5)
    assert layout_of(np.zeros((6, 1), np.float32)) == (False, 1)
    assert layout_of(np.zeros((6, 1), np.float32).T) == (False, 6)
    assert layout_of(wide[:, ::2]) is None
    assert layout_of(np.broadcast_to(np.zeros(3, np.float32), (4, 3))) is None
    assert layout_of(np.zeros((3, 4, 5), np.float64)[:, 1]) == (False, 20)


@pytest.mark.parametrize(
    ("address", "bytes_"), [(0, 256), (256, 256), (512, 256), (48, 16), (6, 2), (7, 1)]
)
def test_alignment(address, bytes_):
    array = type("Array", (), {"data": type("Data", (), {"ptr": address})})
    assert alignment(array) == bytes_


def test_plans_are_given_back():
    plan(epilogue="BIAS").close()
