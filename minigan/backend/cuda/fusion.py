"""A recorded step in fewer kernels: the same numbers, to the bit.

A kernel of a few thousand numbers spends most of its time on a GPU on starting and stopping. As
the layers call them, a step is about 75 kernels. Three rules halve their number:

* All random fills of a step become one kernel at its start, since random numbers depend on nothing
  but their place in a stream (`gather_fills`).
* A matrix product applies what follows it to each number before it stores it: a bias, an
  activation, a dropout mask; or, backward, the mask and the activation's slope (`end_products`).
* The sums that are the gradients of biases wait for each other and become one kernel
  (`gather_sums`).

A launch is moved only past launches that do not touch what it touches, and each formula is that of
its own kernel, so only the number of kernels changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.backend.base import Array, span
from minigan.backend.cuda.algebra import KERNELS
from minigan.backend.cuda.launching import Call, Launch, is_array
from minigan.backend.cuda.memory import asarray


def fuse(calls: list[Call]) -> list[Call]:
    """The same step in fewer launches."""
    return gather_sums(end_products(gather_fills(calls)))


# -- what touches what --------------------------------------------------------------------


def _overlap(one: Array, other: Array) -> bool:
    (a, b), (c, d) = span(one), span(other)
    return a < d and c < b


def _touches(call: Call, array: Array) -> bool:
    return any(_overlap(array, other) for other in call.arrays())


def _is_like(one: Array, other: Array) -> bool:
    """Whether two arrays have their numbers in the same order and at the same distances.

    Rows of features without gaps are like their pixels: see pixels.py.
    """
    if one.flags.c_contiguous and other.flags.c_contiguous:
        return bool(one.size == other.size and one.dtype == other.dtype)
    return bool((one.shape, one.strides, one.dtype) == (other.shape, other.strides, other.dtype))


def _is_same(one: Array, other: Array) -> bool:
    """Whether two arrays are the same memory, in the same order."""
    return bool(one.data.ptr == other.data.ptr) and _is_like(one, other)


def _table(rows: list[list[Any]]) -> Array:
    """(rows, fields) uint64 on the GPU: integers, addresses, and numbers as the bits of doubles."""

    def word(field: Any) -> int:
        if isinstance(field, np.floating):
            return int(np.float64(field).view(np.uint64))
        return int(field.data.ptr if is_array(field) else field)

    return asarray(np.array([[word(field) for field in row] for row in rows], np.uint64))


# -- fills at the start -------------------------------------------------------------------

#: Fills: the number that `fill_many` knows them by, and the names of their two settings.
_FILLS = {
    "fill_uniform": (0, "low", "width"),
    "fill_normal": (1, "mean", "std"),
    "fill_dropout_mask": (2, "threshold", "scale"),
}
#: The fields passed to `fill_many` for each fill, after kind and first thread: see random.cu.
_FILL_FIELDS = ("n", "blocks", "keys", "start", "offset", "p", "q", "out", "row")


def gather_fills(calls: list[Call]) -> list[Call]:
    """One launch at the start for all fills of memory that no call uses before them."""
    fills: list[Launch] = []
    rest: list[Call] = []
    for call in calls:
        if isinstance(call, Launch) and call.name in _FILLS:
            out = call.args["out"]
            used = any(_touches(other, out) for other in rest)
            filled = any(_overlap(out, other.args["out"]) for other in fills)
            if not (used or filled) and (not fills or call.dtype == fills[0].dtype):
                fills.append(call)
                continue
        rest.append(call)
    if len(fills) < 2:
        return calls
    rows, threads = [], 0
    for fill in fills:
        kind, p, q = _FILLS[fill.name]
        args = {**fill.args, "p": np.float64(fill.args[p]), "q": np.float64(fill.args[q])}
        rows.append([kind, threads, *(args[field] for field in _FILL_FIELDS)])
        threads += int(args["members"]) * int(args["blocks"])
    block = fills[0].block
    sizes = {"fills": len(rows), "threads": threads, "table": _table(rows)}
    merged = Launch("fill_many", fills[0].dtype, (-(-threads // block[0]),), block, sizes)
    merged.kept = fills
    return [merged, *rest]


# -- what follows a product ---------------------------------------------------------------

#: Formulas at the end of a product: the number that matmul.cu knows them by, and what they read
#: apart from the product: an array and a number, by their names in the kernel of the formula.
_FORMULAS = {
    "relu": (2, None, None),
    "leaky_relu": (3, None, "slope"),
    "elu": (4, None, "alpha"),
    "sigmoid": (5, None, None),
    "tanh_forward": (6, None, None),
    "multiply": (7, "Y", None),
    "relu_backward": (8, "Y", None),
    "leaky_relu_backward": (9, "Y", "slope"),
    "sigmoid_backward": (10, "Y", None),
    "tanh_backward": (11, "Y", None),
}
_BIAS = 1
_MOST_FORMULAS = 3


def end_products(calls: list[Call]) -> list[Call]:
    """Products apply the formulas that follow them at once and in place."""
    result: list[Call] = []
    formulas = _MOST_FORMULAS  # of the product that is the last call of the result; there is none
    for call in calls:
        if formulas < _MOST_FORMULAS:
            product = result[-1]
            assert isinstance(product, Launch)
            ended = _ended(product, call, formulas + 1)
            if ended is not None:
                result[-1] = ended
                formulas += 1
                continue
        formulas = 0 if call.name in KERNELS else _MOST_FORMULAS
        result.append(call)
    return result


def _ended(product: Launch, call: Call, k: int) -> Launch | None:
    """The product with a call as its k-th formula; None if it cannot be one."""
    if call.name not in _FORMULAS and call.name != "add":
        return None
    C, args = product.args["C"], call.args
    if not (_is_same(args["out"], C) and _is_same(args["X"], C)):
        return None
    if call.name == "add":  # of a bias (..., 1, N), which is shorter than C (..., M, N)
        bias = args["Y"]
        if bias.shape != (*C.shape[:-2], 1, C.shape[-1]):
            return None
        if C.shape[-2] == 1 and C.size > C.shape[-1]:
            return None  # with members of one row each, its distance is not that of members
        if any(product.args[f"formula{j}"] == _BIAS for j in range(1, k)):
            return None  # there is one distance of biases
        changes = {f"formula{k}": _BIAS, f"other{k}": bias, "bias_member": args["Y_row"]}
        return _changed(product, changes)
    formula, array, number = _FORMULAS[call.name]
    changes = {f"formula{k}": formula}
    if array is not None:
        other = changes[f"other{k}"] = args[array]
        if not _is_like(other, C) or _overlap(other, C):
            return None
    if call.name == "elu":  # there is one slope, and it is written while others are still read
        slope = changes["slope"] = args["slope"]
        if not _is_like(slope, C) or _touches(product, slope) or is_array(product.args["slope"]):
            return None
    if number is not None:
        changes[f"number{k}"] = args[number]
    return _changed(product, changes)


def _changed(product: Launch, changes: dict[str, Any]) -> Launch:
    args = {**product.args, **changes}
    return Launch(product.name, product.dtype, product.grid, product.block, args)


# -- sums together ------------------------------------------------------------------------

#: The fields passed to `sum_many` for each sum, after its first block: see reductions.cu.
_SUM_FIELDS = ("rows", "columns", "X", "X_member", "X_row", "out", "out_member", "scale")


def gather_sums(calls: list[Call]) -> list[Call]:
    """One launch for sums of rows, if no call between them touches their results or changes X."""
    result: list[Call | None] = []
    group: list[Launch] = []
    places: list[int] = []  # where the group's sums stand in the result

    def close() -> None:
        if len(group) > 1:
            for place in places:
                result[place] = None
            result[places[-1]] = _sum_many(group)
        group.clear()
        places.clear()

    for call in calls:
        if any(_disturbs(call, earlier) for earlier in group):
            close()
        if isinstance(call, Launch) and call.name == "sum_rows":
            if group and (call.dtype, call.grid[1]) != (group[0].dtype, group[0].grid[1]):
                close()
            group.append(call)
            places.append(len(result))
        result.append(call)
    close()
    return [call for call in result if call is not None]


def _disturbs(call: Call, sum_: Launch) -> bool:
    """Whether a sum cannot be made after a call instead of before it."""
    X, out = sum_.args["X"], sum_.args["out"]
    return _touches(call, out) or any(_overlap(X, written) for written in call.written())


def _sum_many(group: list[Launch]) -> Launch:
    rows, blocks = [], 0
    for sum_ in group:
        rows.append([blocks, *(sum_.args[field] for field in _SUM_FIELDS)])
        blocks += sum_.grid[0]
    sizes = {"sums": len(rows), "table": _table(rows)}
    merged = Launch("sum_many", group[0].dtype, (blocks, group[0].grid[1]), group[0].block, sizes)
    merged.kept = tuple(group)
    return merged
