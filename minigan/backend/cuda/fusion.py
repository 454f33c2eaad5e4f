"""A recorded step in fewer kernels: the same numbers, to the bit.

A kernel of a few thousand numbers spends most of its time on a GPU to begin and to end. A step is
some 75 of them as its words are spoken, and these rules bring it to half:

* A product applies what follows it to each number before it is stored: a bias, an activation, a
  dropout mask; or, backward, the mask and the activation's slope (`end_products`).
* Random numbers depend on nothing but their place in a stream, so all fills of a step are one
  kernel at its start (`gather_fills`).
* The sums that are the gradients of biases wait for each other (`gather_sums`).

A launch is moved only past launches that do not touch what it touches, and each formula is the one
of its own kernel, so nothing but the number of kernels changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.backend.base import Array, span

#: Makes a launch, as `cupy_backend._table`; NumPy arrays among its arguments go to the GPU.
Make = Callable[..., Any]


class Call:
    """Something a step does on the GPU.

    Attributes:
        run: does it.
        name: of the kernel, or of the word.
        args: its arguments, with all arrays that it touches.
    """

    def __init__(self, run: Callable[..., None], name: str, args: tuple[Any, ...]) -> None:
        self.run = run
        self.name = name
        self.args = args
        #: What this one replaces, if it has only the addresses of their arrays: they keep them.
        self.kept: list[Any] = []

    def __call__(self) -> None:
        self.run()

    def arrays(self) -> list[Array]:
        return [a for a in self.args if _is_array(a)]

    def written(self) -> list[Array]:
        """The arrays that it writes into; all, where this is not known."""
        places = _WRITTEN.get(self.name)
        if places is None:
            return self.arrays()
        return [self.args[i] for i in places if _is_array(self.args[i])]


class Launch(Call):
    """A kernel with its arguments.

    Args:
        kernel: from CuPy.
        name: the kernel's.
        dtype: what it computes in.
        grid, block: as CuPy takes them.
        args: arrays and NumPy scalars.
        shared_memory: bytes of dynamic shared memory a block.
    """

    def __init__(
        self,
        kernel: Any,
        name: str,
        dtype: Any,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: tuple[Any, ...],
        shared_memory: int = 0,
    ) -> None:
        super().__init__(kernel, name, args)
        self.dtype = dtype
        self.grid = grid
        self.block = block
        self.shared_memory = shared_memory

    def __call__(self) -> None:
        if self.shared_memory > 48 * 1024:  # what every device allows
            self.run.max_dynamic_shared_size_bytes = self.shared_memory  # type: ignore[attr-defined]
        self.run(self.grid, self.block, self.args, shared_mem=self.shared_memory)


def fuse(calls: list[Call], make: Make) -> list[Call]:
    """The same step in fewer launches."""
    return gather_sums(end_products(gather_fills(calls, make)), make)


# -- what touches what --------------------------------------------------------------------


#: Where a kernel's arguments are that it writes into.
_MAPS = (
    *("add", "multiply", "negate", "scale", "clip", "relu", "leaky_relu", "sigmoid"),
    "tanh_forward",
)
_BACK = ("relu_backward", "leaky_relu_backward", "sigmoid_backward", "tanh_backward")
_WRITTEN: dict[str, tuple[int, ...]] = {
    **dict.fromkeys((*_MAPS, *_BACK, "pack_deviations", "pack_deviations_backward"), (2,)),
    **dict.fromkeys(("bce_gradient", "bce_with_logits_gradient"), (2,)),
    "mean_squared_error_gradient": (2,),
    "elu": (2, 6),
    "sum_rows": (5,),
    "matmul": (11, 15, 16, 18, 21, 24),  # the last three where they are elu's slope
    "copy": (0,),
    "fill": (0,),
}
_OF_FILL = {"fill_uniform": 0, "fill_normal": 1, "fill_dropout_mask": 2}
_OUT_OF_FILL = 8  # (members, n, blocks, keys, start, offset, two numbers, out, row)


def _is_array(X: Any) -> bool:
    return hasattr(X, "strides") and not isinstance(X, np.generic)


def _overlap(one: Array, other: Array) -> bool:
    (a, b), (c, d) = span(one), span(other)
    return a < d and c < b


def _touches(call: Call, array: Array) -> bool:
    return any(_overlap(array, other) for other in call.arrays())


def _is(one: Any, other: Array) -> bool:
    """Whether two arrays are the same place, seen in the same way."""
    return (
        _is_array(one)
        and one.data.ptr == other.data.ptr
        and (one.shape, one.strides, one.dtype) == (other.shape, other.strides, other.dtype)
    )


# -- fills at the start -------------------------------------------------------------------


def gather_fills(calls: list[Call], make: Make) -> list[Call]:
    """One launch at the start for all fills of memory that nobody has used before them."""
    fills: list[Launch] = []
    rest: list[Call] = []
    for call in calls:
        if call.name in _OF_FILL and isinstance(call, Launch):
            out = call.args[_OUT_OF_FILL]
            earlier = any(_touches(other, out) for other in rest) or any(
                _overlap(out, other.args[_OUT_OF_FILL]) for other in fills
            )
            if not earlier and (not fills or call.dtype == fills[0].dtype):
                fills.append(call)
                continue
        rest.append(call)
    if len(fills) < 2:
        return calls
    rows, threads = [], 0
    for fill in fills:
        members, n, blocks, keys, start, offset, p, q, out, row = fill.args
        rows.append(
            [
                *(_OF_FILL[fill.name], threads, int(n), int(blocks), int(keys.data.ptr)),
                *(_address(start), int(offset), _bits(p), _bits(q), int(out.data.ptr), int(row)),
            ]
        )
        threads += int(members) * int(blocks)
    sizes = (np.uint32(len(rows)), np.uint32(threads))
    block = fills[0].block
    grid = (-(-threads // block[0]),)
    merged = make("fill_many", fills[0].dtype, grid, block, *sizes, np.array(rows, np.uint64))
    merged.kept = fills
    return [merged, *rest]


def _bits(number: Any) -> int:
    """A number as the bits of a double."""
    return int(np.float64(number).view(np.uint64))


def _address(start: Any) -> int:
    return int(start.data.ptr) if _is_array(start) else 0


# -- what follows a product ---------------------------------------------------------------


#: Formulas at the end of a product, by number: see matmul.cu.
_FORMULAS = {
    name: number
    for number, name in enumerate(
        (
            *("nothing", "bias", "relu", "leaky_relu", "elu", "sigmoid", "tanh_forward"),
            *("multiply", "relu_backward", "leaky_relu_backward", "sigmoid_backward"),
            "tanh_backward",
        )
    )
}
_OUT_OF_MATMUL = 11
_FIRST_FORMULA = 17  # of three, of three arguments each; the distance of biases comes last
_FORMULAS_KEPT = 3


def end_products(calls: list[Call]) -> list[Call]:
    """Products that apply what comes right after them, as long as that is in their own place."""
    result: list[Call] = []
    product: Launch | None = None
    done = 0  # formulas of the product
    for call in calls:
        if product is not None and done < _FORMULAS_KEPT:
            ending = _ending(product, call)
            if ending is not None:
                formula, bias_distance = ending
                args = list(product.args)
                place = _FIRST_FORMULA + 3 * done
                args[place : place + 3] = formula
                if bias_distance is not None:
                    args[-1] = bias_distance
                product.args = tuple(args)
                done += 1
                continue
        product, done = None, 0
        if call.name == "matmul" and isinstance(call, Launch):
            call = Launch(call.run, call.name, call.dtype, call.grid, call.block, call.args)
            product = call
        result.append(call)
    return result


def _ending(product: Launch, call: Call) -> tuple[tuple[Any, Any, Any], Any] | None:
    """A call as a formula (number, array, setting) at a product's end, and a bias's distance."""
    if call.name not in _FORMULAS and call.name != "add":
        return None
    C = product.args[_OUT_OF_MATMUL]
    out, X, more = call.args[2], call.args[4], call.args[6:]
    if not (_is(out, C) and _is(X, C)):
        return None
    none, zero = product.args[_FIRST_FORMULA + 1], product.args[_FIRST_FORMULA + 2]
    if call.name == "add":  # of a bias, which is shorter than C
        row, distance, _ = more
        if row.shape != (*C.shape[:-2], 1, C.shape[-1]):
            return None
        if C.shape[-2] == 1 and C.size > C.shape[-1]:
            return None  # with members of one row each, its distance is not that of members
        bias = np.uint32(_FORMULAS["bias"])
        if bias in product.args[_FIRST_FORMULA:-1:3]:
            return None  # there is one distance of biases
        return (bias, row, zero), distance
    number = np.uint32(_FORMULAS[call.name])
    if call.name in ("relu", "sigmoid", "tanh_forward"):
        return (number, none, zero), None
    if call.name == "leaky_relu":
        return (number, none, more[0]), None
    other = more[0]
    if other.shape != C.shape or other.strides != C.strides or _overlap(other, C):
        return None
    if call.name == "elu":
        if any(_overlap(other, factor) for factor in (product.args[3], product.args[7])):
            return None  # the slope is written while other blocks still read the factors
        return (number, other, more[2]), None
    setting = more[3] if call.name == "leaky_relu_backward" else zero
    return (number, other, setting), None


# -- sums together ------------------------------------------------------------------------


def gather_sums(calls: list[Call], make: Make) -> list[Call]:
    """One launch for sums of rows between which nobody touches their results or changes X."""
    result: list[Call | None] = []
    group: list[Launch] = []
    places: list[int] = []  # where the group's sums stand in the result

    def close() -> None:
        if len(group) > 1:
            for place in places:
                result[place] = None
            result[places[-1]] = _sums(group, make)
        group.clear()
        places.clear()

    for call in calls:
        if call.name == "sum_rows" and isinstance(call, Launch):
            alike = not group or (call.dtype, call.grid[1]) == (group[0].dtype, group[0].grid[1])
            if not alike or any(_disturbs(call, earlier) for earlier in group):
                close()
            group.append(call)
            places.append(len(result))
        elif any(_disturbs(call, earlier) for earlier in group):
            close()
        result.append(call)
    close()
    return [call for call in result if call is not None]


def _disturbs(call: Call, sum_: Launch) -> bool:
    """Whether a sum cannot be made after a call instead of before it."""
    X, out = sum_.args[2], sum_.args[5]
    return _touches(call, out) or any(_overlap(X, written) for written in call.written())


def _sums(group: list[Launch], make: Make) -> Any:
    rows, blocks = [], 0
    for sum_ in group:
        count, columns, X, X_member, X_row, out, out_member, scale = sum_.args
        rows.append(
            [
                *(blocks, int(count), int(columns), int(X.data.ptr), int(X_member), int(X_row)),
                *(int(out.data.ptr), int(out_member), _bits(scale)),
            ]
        )
        blocks += sum_.grid[0]
    grid, block = (blocks, group[0].grid[1]), group[0].block
    table = np.array(rows, np.uint64)
    merged = make("sum_many", group[0].dtype, grid, block, np.uint32(len(rows)), table)
    merged.kept = list(group)
    return merged
