"""The arrays of cupy's stand-in, and what can be done with them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from stand_in.emulator import Fault
from stand_in.machine import Device, Memory, issue, machine, not_listed, see


class _Flags:
    __slots__ = ("c_contiguous",)

    def __init__(self, c_contiguous: bool) -> None:
        self.c_contiguous = c_contiguous


class _Data:
    __slots__ = ("ptr",)

    def __init__(self, ptr: int) -> None:
        self.ptr = ptr


def _refuse(operation: str) -> Callable[..., NoReturn]:
    def refuse(self: Any, *args: Any, **options: Any) -> NoReturn:
        raise TypeError(
            f"{operation} of a device array: CuPy would convert it, or start a kernel of its own"
        )

    return refuse


class ndarray:
    """An array on the device: a wrapper, so that NumPy can do nothing with it."""

    __slots__ = ("__weakref__", "_memory", "_view")
    _memory: Memory
    _view: np.ndarray

    def __new__(cls, *args: Any, **options: Any) -> NoReturn:
        raise TypeError("cupy.ndarray(...) is not on the list of cupy's stand-in; use empty")

    def __getattr__(self, name: str) -> NoReturn:
        not_listed("cupy.ndarray", name)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        not_listed("cupy.ndarray", f"{name} = ...")

    def __repr__(self) -> str:
        return f"<{self.dtype} {self.shape} of cupy's stand-in>"

    # -- what it is ---------------------------------------------------------------------
    @property
    def shape(self) -> tuple[int, ...]:
        return self._view.shape

    @property
    def dtype(self) -> np.dtype:
        return self._view.dtype

    @property
    def ndim(self) -> int:
        return self._view.ndim

    @property
    def size(self) -> int:
        return self._view.size

    @property
    def nbytes(self) -> int:
        return self._view.nbytes

    @property
    def itemsize(self) -> int:
        return self._view.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        return self._view.strides

    @property
    def flags(self) -> _Flags:
        return _Flags(self._view.flags.c_contiguous)

    @property
    def data(self) -> _Data:
        return _Data(self._view.ctypes.data)

    @property
    def device(self) -> Device:
        return Device(self._memory.device)

    def __len__(self) -> int:
        return len(self._view)

    # -- views --------------------------------------------------------------------------
    def __getitem__(self, key: Any) -> ndarray:
        return wrap(self._memory, self._view[basic(key)])

    def reshape(self, *shape: Any) -> ndarray:
        view = self._view.reshape(*shape)
        if self.size and not np.may_share_memory(view, self._view):
            raise TypeError(f"reshape of strides {self.strides} to {view.shape} would copy")
        return wrap(self._memory, view)

    # -- contents -----------------------------------------------------------------------
    def __setitem__(self, key: Any, value: Any) -> None:
        target = self[key]
        if not isinstance(value, ndarray):
            machine.no_capture()
        copy_to(target, value, "an assignment to an array")

    def fill(self, value: Any) -> None:
        if isinstance(value, ndarray):
            raise TypeError("fill takes a number of the host")
        copy_to(self, value, "fill")

    def get(self) -> np.ndarray:
        """A copy on the host."""
        machine.no_capture()
        see(self._memory, machine.stream, "get")
        machine.stream.synchronize()
        return self._view.copy()

    def set(self, array: np.ndarray) -> None:
        """Copy an array of the host."""
        machine.no_capture()
        if type(array) is not np.ndarray:
            raise TypeError(f"set takes a NumPy array, not {type(array).__name__}")
        if array.shape != self.shape or array.dtype != self.dtype:
            raise ValueError(
                f"set: {array.dtype} {array.shape} to an array {self.dtype} {self.shape}"
            )
        if not (self._view.flags.c_contiguous or self._view.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        host = array.copy()
        issue(lambda: np.copyto(self._view, host), "set", [], [self._memory])

    def astype(self, dtype: Any) -> ndarray:
        """A copy of another dtype."""
        out = allocate(self.shape, dtype)
        source = self._view
        issue(
            lambda: np.copyto(out._view, source, casting="unsafe"),
            "astype",
            [self._memory],
            [out._memory],
        )
        return out

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """What tells other libraries that this is an array on a GPU."""
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.data.ptr, False),
            "strides": self.strides,
            "version": 3,
        }

    # -- what it is not: an array of the host ----------------------------------------------
    __array_ufunc__ = None
    __hash__ = None
    __array__ = _refuse("an implicit conversion to NumPy")
    __array_function__ = _refuse("a function of NumPy's")
    __reduce_ex__ = _refuse("a pickle or a copy")
    __iter__ = _refuse("a loop")
    __reversed__ = _refuse("reversed()")
    __contains__ = _refuse("`in`")


# What Python does to numbers, and object-like operations, each by its name.
_UNARY = "bool float int complex index round trunc floor ceil neg pos abs invert"
_BINARY = "add sub mul truediv floordiv mod divmod pow matmul lshift rshift and or xor"
for _name in _UNARY.split():
    setattr(ndarray, f"__{_name}__", _refuse(f"{_name}()"))
for _name in _BINARY.split():
    setattr(ndarray, f"__{_name}__", _refuse(_name))
    setattr(ndarray, f"__r{_name}__", _refuse(_name))
    if _name != "divmod":
        setattr(ndarray, f"__i{_name}__", _refuse(f"in-place {_name}"))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(ndarray, f"__{_name}__", _refuse("a comparison"))


def wrap(memory: Memory, view: np.ndarray) -> ndarray:
    array: ndarray = object.__new__(ndarray)
    object.__setattr__(array, "_memory", memory)
    object.__setattr__(array, "_view", view)
    return array


def basic(key: Any) -> tuple[Any, ...]:
    """A basic index, such that the result is a view also where it is one number."""
    keys = key if isinstance(key, tuple) else (key,)
    for one in keys:
        parts = (one.start, one.stop, one.step) if isinstance(one, slice) else (one,)
        for part in parts:
            if part is None or (part is Ellipsis and part is one):
                continue
            if isinstance(part, (bool, np.bool_, np.ndarray, ndarray)):
                raise IndexError(f"an index of type {type(part).__name__} is not basic")
            operator.index(part)
    return keys if Ellipsis in keys else (*keys, Ellipsis)


def _dtype(dtype: Any) -> np.dtype:
    found = np.dtype(dtype)
    if found.kind not in "biuf" or found.itemsize > 8:
        raise ValueError(f"Unsupported dtype {found}")
    return found


def allocate(shape: Any, dtype: Any, order: str = "C") -> ndarray:
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    for size in sizes:
        if isinstance(size, bool) or operator.index(size) < 0:
            raise ValueError(f"a shape is made of integers >= 0, not {shape!r}")
    found = _dtype(dtype)
    memory = Memory(math.prod(sizes) * found.itemsize, found)
    view = memory.bytes.view(found).reshape(sizes, order=order)
    return wrap(memory, view)


def copy_to(target: ndarray, value: Any, what: str) -> None:
    """Copy a number of the host or an array to an array, with broadcasting."""
    to = target._view
    if isinstance(value, ndarray):
        source = value._view
        if not np.can_cast(source.dtype, to.dtype, "same_kind"):
            raise TypeError(f"Cannot cast {source.dtype} to {to.dtype} in {what}")
        np.broadcast_to(source, to.shape)  # an error where the shapes do not fit
        same = source.ctypes.data == to.ctypes.data and source.strides == to.strides
        if source.size and to.size and not same and np.shares_memory(source, to):
            raise Fault(f"{what}: the arrays overlap, and a GPU copies in no order")
        issue(lambda: np.copyto(to, source), what, [value._memory], [target._memory])
    elif isinstance(value, (bool, int, float, np.bool_, np.number)):
        if isinstance(value, np.generic) and not np.can_cast(value.dtype, to.dtype, "same_kind"):
            raise TypeError(f"Cannot cast {value.dtype} to {to.dtype} in {what}")
        number = np.array(value).astype(to.dtype)  # frozen at capture, as on a GPU
        issue(lambda: np.copyto(to, number), what, [], [target._memory])
    else:
        raise TypeError(f"{what} takes a device array or a number, not {type(value).__name__}")


# -- functions of the module -------------------------------------------------------------------
def empty(shape: Any, dtype: Any) -> ndarray:
    return allocate(shape, dtype)


def zeros(shape: Any, dtype: Any) -> ndarray:
    out = allocate(shape, dtype)
    copy_to(out, 0, "zeros")
    return out


def array(x: Any, dtype: Any = None, *, copy: bool = True, order: str = "K") -> ndarray:
    if isinstance(x, ndarray):
        kept = order in ("K", "A") or (order == "C" and x.flags.c_contiguous)
        if not copy and kept and (dtype is None or x.dtype == np.dtype(dtype)):
            return x
        return x.astype(x.dtype if dtype is None else dtype)
    host = np.asarray(x, dtype=dtype)
    _dtype(host.dtype)
    if order in ("K", "A"):
        order = "F" if host.flags.f_contiguous and not host.flags.c_contiguous else "C"
    if order not in ("C", "F"):
        raise ValueError(f"order must be 'C', 'F', 'K' or 'A', not {order!r}")
    out = allocate(host.shape, host.dtype, order)
    host = host.copy()
    issue(lambda: np.copyto(out._view, host), "array", [], [out._memory])
    return out


def asarray(x: Any, dtype: Any = None) -> ndarray:
    return array(x, dtype, copy=False)


def asnumpy(x: Any) -> np.ndarray:
    return x.get() if isinstance(x, ndarray) else np.asarray(x)


def argsort(x: ndarray) -> ndarray:
    """The order that sorts x (n,); it needs memory of its own."""
    return array(np.argsort(x.get(), kind="stable"))


def copyto(dst: ndarray, src: Any) -> None:
    if not isinstance(dst, ndarray):
        raise TypeError(f"copyto writes to a device array, not {type(dst).__name__}")
    copy_to(dst, src, "copyto")


def from_dlpack(x: Any) -> ndarray:
    return x if isinstance(x, ndarray) else array(np.from_dlpack(x))
