"""The stand-in for a GPU is strict: what CUDA or CuPy would get wrong silently is an error here."""

from __future__ import annotations

import copy
import importlib.util
import math
import operator
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from stand_in import CUDA, Fault, emulator, install

import minigan.backend.cuda

SOURCES = Path(minigan.backend.cuda.__file__).parent / "kernels"

pytestmark = pytest.mark.skipif(not emulator.available(), reason=emulator.missing())


@pytest.fixture
def cp() -> Iterator:
    with install() as module:
        yield module


KERNELS = r"""
#define KERNEL extern "C" __global__ void
#define I (blockIdx.x * blockDim.x + threadIdx.x)

// The sum of 1024 numbers, correctly and not.
#define SUM(name, BARRIER)                                                    \
    KERNEL name(const float *X, float *out) {                                 \
        __shared__ float part[1024];                                          \
        part[threadIdx.x] = X[I];                                             \
        for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {           \
            BARRIER;                                                          \
            if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half]; \
        }                                                                     \
        if (threadIdx.x == 0) out[blockIdx.x] = part[0];                      \
    }
SUM(sum, __syncthreads())
SUM(sum_without_barriers, )

// The first thread computes something for all.
KERNEL shared_number(float *out) {
    __shared__ float number;
    if (threadIdx.x == 0) number = 3;
    __syncthreads();
    out[threadIdx.x] = number;
}
KERNEL shared_number_without_barrier(float *out) {
    __shared__ float number;
    if (threadIdx.x == 0) number = 3;
    out[threadIdx.x] = number;
}

KERNEL barrier_for_some(unsigned first, unsigned end) {
    if (threadIdx.x >= first && threadIdx.x < end) __syncthreads();
}
KERNEL different_barriers() {
    if (threadIdx.x % 2)
        __syncthreads();
    else
        __syncthreads();
}

KERNEL what_was_shared(float *out) {  // written by each block, after it has looked
    __shared__ float kept, room[4];
    out[2 * blockIdx.x] = kept;
    out[2 * blockIdx.x + 1] = room[3];
    kept = room[3] = 1;
}

KERNEL where(unsigned *out) {
    const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    out[block * blockDim.x * blockDim.y * blockDim.z + thread] += 1000 * block + thread;
}

KERNEL tickets(unsigned *counter, unsigned *mine) { mine[I] = atomicAdd(counter, 2); }

KERNEL twice(float *X, long long offset) { X[offset + I] = X[offset + I] * 2; }
KERNEL copy(const float *X, float *out) { out[I] = X[I]; }
KERNEL is_null(const float *X, unsigned *out) { *out = X == 0; }

KERNEL all_kinds(const unsigned char *a, const unsigned long long *b, const long long *c,
                 unsigned d, unsigned long long e, long long f, float g, double h, double *out) {
    const double all[] = {(double)*a, (double)*b, (double)*c, (double)d, (double)e, (double)f,
                          (double)g, h};
    for (int i = 0; i < 8; ++i) out[i] = all[i];
}

KERNEL mathematics(unsigned n, const REAL *X, REAL *out) {
    const REAL x = X[threadIdx.x];
    const REAL all[] = {exp(x), log(x), sqrt(x), pow(x, x), tanh(x), cos(x), sin(x), fabs(-x),
                        log1p(x), expm1(x), min(x, (REAL)1), max(x, (REAL)1),
                        isfinite(x) ? (REAL)1 : (REAL)0};
    static_assert(sizeof(exp(x)) == sizeof(REAL), "an overload is missing");
    for (int i = 0; i < 13; ++i) out[i * n + threadIdx.x] = all[i];
}
"""


def kernel(cp, name, real="float"):
    return cp.RawModule(code=KERNELS, options=(f"-DREAL={real}",)).get_function(name)


# -- the emulator ------------------------------------------------------------------------------
@pytest.mark.parametrize("threads", [2, 128, 1024])
def test_a_sum_across_a_block(cp, threads):
    X = np.random.default_rng(1).standard_normal((3, threads)).astype("float32")
    out = cp.empty((3,), "float32")
    for _ in range(2):
        kernel(cp, "sum")((3,), (threads,), (cp.asarray(X), out))
        np.testing.assert_allclose(out.get(), X.sum(axis=1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["sum", "shared_number"])
def test_a_missing_barrier_changes_the_result_from_launch_to_launch(cp, name):
    """Or it shows as NaN, which shared memory holds before it is written."""
    for suffix in ("", "_without_barriers" if name == "sum" else "_without_barrier"):
        results = []
        for _ in range(2):
            out = cp.zeros((64,), "float32")
            args = (cp.asarray(np.ones(64, "float32")), out) if name == "sum" else (out,)
            kernel(cp, name + suffix)((1,), (64,), args)
            results.append(out.get())
        same = np.array_equal(results[0], results[1])
        assert same == (suffix == "")


@pytest.mark.parametrize(("first", "end"), [(0, 1), (0, 63), (1, 64), (63, 64), (20, 21)])
def test_a_barrier_that_some_threads_do_not_reach(cp, first, end):
    u32 = np.uint32
    barrier_for_some = kernel(cp, "barrier_for_some")
    for _ in range(2):  # in both orders
        with pytest.raises(Fault, match=r"'barrier_for_some': divergent barrier: thread .* ended"):
            barrier_for_some((1,), (64,), (u32(first), u32(end)))
        barrier_for_some((1,), (64,), (u32(0), u32(64)))  # and it works after the error
        barrier_for_some((1,), (64,), (u32(0), u32(0)))


def test_threads_that_wait_at_different_barriers(cp):
    with pytest.raises(Fault, match=r"thread 0 of block \(0, 0, 0\) waits in line \d+, thread 1 "):
        kernel(cp, "different_barriers")((1,), (64,), ())


def test_shared_memory_holds_nan_when_a_block_starts(cp):
    out = cp.zeros((3, 2), "float32")
    for _ in range(2):
        kernel(cp, "what_was_shared")((3,), (1,), (out,))
        assert np.isnan(out.get()).all()


def test_every_thread_of_every_block_runs_once_and_knows_where(cp):
    grid, block = (2, 3, 4), (4, 3, 2)
    out = cp.zeros((24, 24), "uint32")
    for times in (1, 2):
        kernel(cp, "where")(grid, block, (out,))
        expected = times * (1000 * np.arange(24)[:, None] + np.arange(24))
        np.testing.assert_array_equal(out.get(), expected)


def test_threads_run_in_the_other_order_at_the_next_launch(cp):
    counter, mine = cp.zeros((1,), "uint32"), cp.empty((3, 5), "uint32")
    library = emulator.build(KERNELS, ("-DREAL=float",))
    for backward in (False, True):
        counter.fill(0)
        args = library.pack("tickets", [counter.data.ptr, mine.data.ptr])
        library.launch("tickets", (3,), (5,), args, backward=backward)
        order = np.arange(15)[:: -1 if backward else 1]
        np.testing.assert_array_equal(mine.get().reshape(-1), 2 * order)
    firsts = []
    for _ in range(2):
        counter.fill(0)
        kernel(cp, "tickets")((3,), (5,), (counter, mine))
        firsts.append(mine.get()[0, 0])
    assert sorted(firsts) == [0, 28]


def test_every_type_of_argument_arrives(cp):
    out = cp.empty((8,), "float64")
    numbers = [200, 2**52 + 1, -(2**40), 2**32 - 1, 2**53, -(2**50), 0.5, 1 / 3]
    dtypes = ["uint8", "uint64", "int64", "uint32", "uint64", "int64", "float32", "float64"]
    scalars = [np.dtype(d).type(x) for d, x in zip(dtypes, numbers, strict=True)]
    args = [cp.asarray(scalar) for scalar in scalars[:3]] + scalars[3:]
    kernel(cp, "all_kinds")((1,), (1,), (*args, out))
    np.testing.assert_array_equal(out.get(), numbers)


@pytest.mark.parametrize("real", ["float", "double"])
def test_functions_of_mathematics_in_both_precisions(cp, real):
    dtype = "float32" if real == "float" else "float64"
    x = np.array([0.1, 0.5, 1.0, 3.0, 20.0], dtype)
    out = cp.empty((13, 5), dtype)
    kernel(cp, "mathematics", real)((1,), (5,), (np.uint32(5), cp.asarray(x), out))
    functions = [np.exp, np.log, np.sqrt, lambda x: x**x, np.tanh, np.cos, np.sin, np.abs]
    functions += [np.log1p, np.expm1, lambda x: np.minimum(x, 1), lambda x: np.maximum(x, 1)]
    expected = np.stack([f(x.astype("float64")) for f in functions] + [np.ones(5)])
    np.testing.assert_allclose(out.get(), expected, rtol=10 * np.finfo(dtype).eps)


def test_a_source_that_does_not_compile(cp):
    module = cp.RawModule(code='extern "C" __global__ void f() { __shfl_sync(); }')
    with pytest.raises(cp.cuda.compiler.CompileException, match="__shfl_sync"):
        module.get_function("f")


# -- launches ----------------------------------------------------------------------------------
def test_a_launch_with_an_argument_of_another_type_is_refused(cp):
    X, zero = cp.zeros((64,), "float32"), np.int64(0)
    twice = kernel(cp, "twice")
    twice((2,), (32,), (X, zero))
    wrong = [
        (cp.zeros((64,), "float64"), zero),
        (np.zeros(64, "float32"), zero),
        (X.data.ptr, zero),
        (np.uint64(X.data.ptr), zero),
        (None, zero),
        (X, 0),
        (X, np.int32(0)),
        (X, np.uint64(0)),
        (X, np.uint32(0)),
        (X, np.float32(0)),
        (X, X),
    ]
    for args in wrong:
        with pytest.raises(TypeError, match=r"'twice': argument [01] is .*, and the parameter "):
            twice((2,), (32,), args)
    for args in [(X,), (X, zero, zero), ()]:
        with pytest.raises(TypeError, match="takes 2 arguments"):
            twice((2,), (32,), args)


def test_null_pointers(cp):
    out = cp.zeros((1,), "uint32")
    for null, expected in [(np.uintp(0), 1), (cp.zeros((1,), "float32"), 0), (np.uint64(0), 1)]:
        kernel(cp, "is_null")((1,), (1,), (null, out))
        assert out.get()[0] == expected


def test_sizes_of_a_launch(cp):
    X = cp.zeros((64,), "float32")
    twice = kernel(cp, "twice")
    for grid, block in [(1, (32,)), ((1,), 32), ((1.0,), (32,)), ((), (32,)), ((1,) * 4, (1,))]:
        with pytest.raises(TypeError, match="one to three ints"):
            twice(grid, block, (X, np.int64(0)))
    for grid, block in [((0,), (1,)), ((1, 70000), (1,)), ((1,), (32, 33)), ((1,), (1, 1, 65))]:
        with pytest.raises(cp.cuda.driver.CUDADriverError, match="INVALID_VALUE"):
            twice(grid, block, (X, np.int64(0)))


def test_a_kernel_or_an_option_that_is_not_there(cp):
    with pytest.raises(cp.cuda.driver.CUDADriverError, match="not found"):
        kernel(cp, "thrice")
    with pytest.raises(ValueError, match="'-O3' is not on the list"):
        cp.RawModule(code=KERNELS, options=("-O3",))


# -- memory ------------------------------------------------------------------------------------
def test_fresh_memory_is_poisoned(cp):
    assert np.isnan(cp.empty((3, 4), "float32").get()).all()
    assert np.isnan(cp.empty((3, 4), "float64").get()).all()
    assert (cp.empty((5,), "uint8").get() == 255).all()
    assert (cp.empty((5,), "int64").get() == -1).all()
    assert not cp.zeros((5,), "float32").get().any()


@pytest.mark.parametrize("offset", [1, 63, -1, -64])
def test_a_write_beyond_an_array_is_noticed(cp, offset):
    X = cp.zeros((64,), "float32")
    twice, where = kernel(cp, "twice"), "behind" if offset > 0 else "before"
    with pytest.raises(Fault, match=f"kernel 'twice' wrote {where} the memory of an array"):
        twice((1,), (64,), (X, np.int64(offset)))
    twice((1,), (64,), (X, np.int64(0)))  # once is enough


def test_a_read_beyond_an_array_gives_nan(cp):
    out = cp.zeros((64,), "float32")
    kernel(cp, "copy")((1,), (64,), (cp.zeros((63,), "float32"), out))
    assert np.isnan(out.get()[63])
    assert not out.get()[:63].any()


def test_a_write_beyond_the_base_of_a_view_is_noticed(cp):
    base = cp.zeros((4, 64), "float32")
    row = base[3]
    del base
    with pytest.raises(Fault, match="wrote behind"):
        kernel(cp, "twice")((1,), (64,), (row, np.int64(1)))


def test_memory_is_counted_and_ends():
    with install(memory=10_000) as cp:
        first = cp.empty((1000,), "float32")
        view = first[:10]
        assert cp.cuda.Device().mem_info == (10_000 - 4096, 10_000)
        error = cp.cuda.memory.OutOfMemoryError
        with pytest.raises(error, match=r"allocating 6,144 bytes \(allocated so far: 4,096 bytes"):
            cp.zeros((6144,), "uint8")
        del first
        assert cp.cuda.Device().mem_info[0] == 10_000 - 4096
        del view
        assert cp.cuda.Device().mem_info[0] == 10_000
        cp.zeros((6144,), "uint8")


# -- arrays ------------------------------------------------------------------------------------
CONVERSIONS = {
    "float": float,
    "int": int,
    "complex": complex,
    "bool": bool,
    "index": operator.index,
    "round": round,
    "abs": abs,
    "list": list,
    "math": math.sqrt,
    "sum": sum,
    "in": lambda X: 1.0 in X,
    "unpacking": lambda X: [*X],
    "reversed": reversed,
    "if": lambda X: 1 if X else 0,
    "range": lambda X: range(X),
    "asarray": np.asarray,
    "numpy function": np.concatenate,
    "ufunc": np.exp,
    "sum of numpy's": np.sum,
    "list of arrays": lambda X: np.array([X, X]),
    "assignment to numpy's": lambda X: operator.setitem(np.zeros(1), slice(None), X),
    "copyto of numpy's": lambda X: np.copyto(np.zeros(1), X),
    "add": lambda X: X + 1,
    "radd": lambda X: 1 + X,
    "numpy scalar": lambda X: np.float64(1) * X,
    "numpy array": lambda X: np.ones(1) * X,
    "numpy array on the right": lambda X: X * np.ones(1),
    "matmul": lambda X: X @ X,
    "power": lambda X: X**2,
    "neg": lambda X: -X,
    "iadd": lambda X: operator.iadd(X, 1),
    "imul by numpy's": lambda X: operator.imul(np.ones(1), X),
    "eq": lambda X: X == X,
    "ne": lambda X: X != 0,
    "lt": lambda X: X < 1,
    "ge by numpy's": lambda X: np.ones(1) >= X,
    "hash": hash,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "format": lambda X: f"{X:.3f}",
}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_an_array_converts_itself_to_nothing(cp, name):
    for X in (cp.zeros((1,), "float64"), cp.zeros((), "float64")):
        with pytest.raises(TypeError):
            CONVERSIONS[name](X)


@pytest.mark.parametrize("name", ["tolist", "item", "sum", "T", "copy", "ravel", "__dlpack__"])
def test_what_is_not_listed_is_not_there(cp, name):
    with pytest.raises(AttributeError, match=rf"cupy.ndarray.{name} is not on the list"):
        getattr(cp.zeros((2,), "float32"), name)


def test_modules_have_what_is_listed_and_no_more(cp):
    for module, name in [(cp, "matmul"), (cp, "random"), (cp, "np"), (cp.cuda, "ExternalStream")]:
        with pytest.raises(AttributeError, match=f"{name} is not on the list"):
            getattr(module, name)
    with pytest.raises(AttributeError, match="not on the list"):
        cp.zeros((2,), "float32").shape = (1, 2)
    with pytest.raises(TypeError, match="not on the list"):
        cp.ndarray((2,), "float32")


def test_numpy_arrays_do_not_mix_in(cp):
    X, host = cp.zeros((2,), "float32"), np.ones(2, "float32")
    for attempt in (
        lambda: cp.copyto(X, host),
        lambda: cp.copyto(host, X),
        lambda: operator.setitem(X, slice(None), host),
        lambda: operator.setitem(X, slice(None), [1, 2]),
        lambda: X.fill(host),
        lambda: X.set([1, 2]),
        lambda: X.set(X),
    ):
        with pytest.raises(TypeError):
            attempt()
    for index in (host, X, True, [0], host.astype(int), host > 0):
        with pytest.raises((IndexError, TypeError)):
            X[index]
    with pytest.raises(ValueError, match=r"float64 \(2,\) to an array float32 \(2,\)"):
        X.set(host.astype("float64"))
    assert not X.get().any()


def test_an_array_is_what_it_was_made_from(cp):
    for host in (
        np.arange(12.0).reshape(3, 4),
        np.asfortranarray(np.arange(12, dtype="float32").reshape(3, 4)),
        np.arange(12)[::-2],
        np.array(7, "uint8"),
        np.zeros((0, 3)),
    ):
        X = cp.asarray(host)
        assert (X.shape, X.dtype, X.ndim, X.size) == (host.shape, host.dtype, host.ndim, host.size)
        assert (X.nbytes, X.itemsize) == (host.nbytes, host.itemsize)
        assert X.flags.c_contiguous == (host.flags.c_contiguous or host.ndim == 1)
        assert X.device.id == 0
        assert X.data.ptr % 256 == 0
        np.testing.assert_array_equal(X.get(), host)
        assert cp.asarray(X) is X
        again = cp.array(X)
        again.fill(5)
        np.testing.assert_array_equal(cp.asnumpy(X), host)
        assert cp.asarray(host, "float64").dtype == "float64"
        assert cp.asarray(X, "float64").get().tolist() == host.tolist()
    assert cp.from_dlpack(np.arange(3)).get().tolist() == [0, 1, 2]
    assert cp.asarray([1.5, 2]).dtype == "float64"
    with pytest.raises(ValueError, match="Unsupported dtype"):
        cp.asarray(["text"])


def test_views_share_memory(cp):
    X = cp.zeros((4, 6), "float32")
    X[1:3, ::2] = 1
    X[..., -1] = cp.asarray(np.arange(4, dtype="float32"))
    X[0, 0] = 9
    X[3].fill(7)
    X.reshape(2, 12)[0, 1] = 8
    X[None, 2].reshape((6,))[1] = 3
    expected = np.zeros((4, 6))
    expected[1:3, ::2] = 1
    expected[:, -1] = np.arange(4)
    expected[0, :2] = 9, 8
    expected[3] = 7
    expected[2, 1] = 3
    np.testing.assert_array_equal(X.get(), expected)
    assert X[2].data.ptr == X.data.ptr + 48
    assert X[2, 3].shape == ()
    assert X[:, ::2].strides == (24, 8)
    assert len(X) == 4
    with pytest.raises(TypeError, match="would copy"):
        X[:, :3].reshape(12)
    with pytest.raises(IndexError):
        X[4]


def test_copies_convert_and_spread_as_cupys_do(cp):
    X = cp.empty((3, 4), "float32")
    cp.copyto(X, cp.asarray(np.arange(4.0)))  # float64 to float32, (4,) to (3, 4)
    np.testing.assert_array_equal(X.get(), np.tile(np.arange(4.0), (3, 1)))
    cp.copyto(X, 2)
    assert (X.get() == 2).all()
    with pytest.raises(ValueError, match="broadcast"):
        cp.copyto(X, cp.zeros((3,), "float32"))
    with pytest.raises(TypeError, match="Cannot cast float32 to int64"):
        cp.copyto(cp.zeros((3, 4), "int64"), X)
    with pytest.raises(Fault, match="overlap"):
        cp.copyto(X[1:], X[:-1])
    assert X.astype("int64").get().tolist() == [[2] * 4] * 3
    X.set(np.ones((3, 4), "float32"))
    assert (X.get() == 1).all()


# -- streams and graphs ------------------------------------------------------------------------
def test_a_capture_notes_down_and_a_graph_repeats(cp):
    X, Y = cp.zeros((4,), "float32"), cp.zeros((4,), "float32")
    X.fill(1)
    twice, offset = kernel(cp, "twice"), np.int64(0)
    stream = cp.cuda.Stream(non_blocking=True)
    cp.cuda.Stream.null.synchronize()
    with stream:
        assert cp.cuda.get_current_stream() is stream
        stream.begin_capture()
        assert stream.is_capturing()
        twice((1,), (4,), (X, offset))
        cp.copyto(Y, X)
        Y[0].fill(5)
        graph = stream.end_capture()
        assert not stream.is_capturing()
        assert X.get().tolist() == [1] * 4  # nothing has happened yet
        offset = np.int64(3)  # too late
        for times in (1, 2):
            graph.launch()
            assert X.get().tolist() == [2**times] * 4
            assert Y.get().tolist() == [5] + [2**times] * 3
    graph.launch(stream=stream)
    stream.synchronize()
    assert X.get().tolist() == [8] * 4


def test_a_capture_allows_no_traffic_and_no_allocation(cp):
    X, stream = cp.zeros((4,), "float32"), cp.cuda.Stream(non_blocking=True)
    cp.cuda.Device().synchronize()
    for attempt in (
        X.get,
        lambda: X.set(np.zeros(4, "float32")),
        lambda: cp.asarray([1.0]),
        lambda: cp.empty((1,), "float32"),
        lambda: cp.zeros((1,), "float32"),
        lambda: X.astype("float64"),
        lambda: operator.setitem(X, 0, 1.0),
        stream.synchronize,
        cp.cuda.Device().synchronize,
    ):
        with stream:
            stream.begin_capture()
            error = cp.cuda.runtime.CUDARuntimeError
            with pytest.raises(error, match="not permitted when stream is capturing"):
                attempt()
            with pytest.raises(error, match="due to a previous error during capture"):
                stream.end_capture()
            X.get()  # allowed again


def test_work_on_another_stream_than_the_one_that_captures(cp):
    X, stream = cp.zeros((4,), "float32"), cp.cuda.Stream(non_blocking=True)
    stream.begin_capture()
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="cudaErrorStreamCaptureImplicit"):
        X.fill(1)
    stream.end_capture()


def test_a_graph_of_two_streams_is_done_in_either_order(cp):
    """Work that does not wait for other work may come before it."""
    X, order = cp.zeros((1,), "float32"), []
    one, other = (cp.cuda.Stream(non_blocking=True) for _ in range(2))
    cp.cuda.Device().synchronize()
    one.begin_capture()
    start, end = cp.cuda.Event(disable_timing=True), cp.cuda.Event(disable_timing=True)
    start.record(one)
    other.wait_event(start)
    with one:
        X.fill(1)
    with other:
        X.fill(2)
    end.record(other)
    one.wait_event(end)
    graph = one.end_capture()
    for _ in range(2):
        graph.launch()
        cp.cuda.Device().synchronize()
        order.append(X.get().item())
    assert order == [1, 2]


def test_a_stream_that_joined_a_capture_must_come_back(cp):
    X = cp.zeros((1,), "float32")
    one, other = (cp.cuda.Stream(non_blocking=True) for _ in range(2))
    cp.cuda.Device().synchronize()
    one.begin_capture()
    start = cp.cuda.Event(disable_timing=True)
    start.record(one)
    other.wait_event(start)
    with other:
        X.fill(2)
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="unjoined work"):
        one.end_capture()
    with other:
        X.fill(3)  # it is a stream like any other again


def test_the_null_stream_captures_nothing(cp):
    with pytest.raises(RuntimeError, match="cannot capture on the default"):
        cp.cuda.Stream.null.begin_capture()
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError):
        cp.cuda.Stream().end_capture()


def test_a_graph_does_not_keep_its_arrays_alive(cp):
    X, Y = cp.zeros((4,), "float32"), cp.zeros((4,), "float32")
    stream = cp.cuda.Stream()
    with stream:
        stream.begin_capture()
        cp.copyto(Y, X)
        graph = stream.end_capture()
        graph.launch()
        del X
        with pytest.raises(Fault, match="memory that has been freed"):
            graph.launch()


def test_a_result_is_not_read_before_its_stream_is_synchronized(cp):
    X, stream = cp.zeros((4,), "float32"), cp.cuda.Stream(non_blocking=True)
    with stream, pytest.raises(Fault, match="another stream, not synchronized since"):
        X.fill(1)  # the null stream may not have made the zeros yet
    cp.cuda.Stream.null.synchronize()
    with stream:
        X.fill(1)
    with pytest.raises(Fault, match="another stream, not synchronized since"):
        X.get()
    stream.synchronize()
    assert X.get().tolist() == [1] * 4
    with cp.cuda.Stream():  # this kind and the null stream wait for each other
        X.fill(2)
    assert X.get().tolist() == [2] * 4


def test_devices():
    with install(cards=2) as cp:
        assert cp.cuda.is_available()
        assert cp.cuda.runtime.getDeviceCount() == 2
        assert cp.cuda.runtime.getDeviceProperties(1)["name"] == b"stand-in"
        X = cp.zeros((1,), "float32")
        with cp.cuda.Device(1) as device:
            assert device.attributes["MultiProcessorCount"] == 132
            assert cp.cuda.runtime.getDevice() == 1
            assert cp.zeros((1,), "float32").device.id == 1
            with pytest.raises(Fault, match="on device 1 uses memory of device 0"):
                X.fill(1)
        assert cp.cuda.Device().id == 0
        with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="cudaErrorInvalidDevice"):
            cp.cuda.Device(2).use()
    with install(cards=0) as cp:
        assert not cp.cuda.is_available()
        with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="cudaErrorNoDevice"):
            cp.zeros((1,), "float32")


def test_installing_it_is_undone():
    before = sys.modules.get("cupy")
    with install() as cp:
        assert importlib.import_module("cupy") is cp
        assert importlib.import_module("cupy.cuda") is cp.cuda
        assert importlib.util.find_spec("cupy") is not None
        backend = importlib.import_module(f"{CUDA}.backend")
        assert backend.cupy is cp
    assert sys.modules.get("cupy") is before
    left = [name for name in sys.modules if getattr(sys.modules[name], "cupy", None) is cp]
    assert left == []
    assert f"{CUDA}.backend" not in sys.modules
    assert not hasattr(minigan.backend.cuda, "backend")


# -- the bits of minigan's streams -------------------------------------------------------------
def test_philox_words_are_numpys_for_a_million_words_at_random_counters(cp):
    source = "".join((SOURCES / name).read_text() for name in ("common.cuh", "random.cu"))
    fill_words = cp.RawModule(code=source, options=("-DREAL=float",)).get_function("fill_words")
    random = np.random.default_rng()
    seed = int(random.integers(2**63))
    random = np.random.default_rng(seed)
    members, blocks = 50, 128
    sizes = (np.uint32(members), np.uint32(blocks))
    words = 0
    starts = [int(p) for p in random.integers(0, 2**64 - blocks, 38, np.uint64)]
    for position in [0, 2**32 - 5, *starts, 2**64 - blocks]:  # the last block is number 2^64 - 1
        keys = random.integers(0, 2**64, (members, 2), np.uint64)
        out = cp.empty((members, 4 * blocks), "uint64")
        split = int(
            random.integers(0, position, dtype=np.uint64, endpoint=True)
        )  # a start on the device, and an offset to it
        start = cp.asarray(np.array(split, "uint64"))
        fill_words(
            (7,),
            (128,),
            (*sizes, cp.asarray(keys), start, np.uint64(position - split), out),
        )
        expected = [
            np.random.Philox(key=key, counter=position).random_raw(4 * blocks) for key in keys
        ]
        np.testing.assert_array_equal(out.get(), expected, err_msg=f"seed {seed}, {position}")
        words += out.size
    assert words >= 10**6
