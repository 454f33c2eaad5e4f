"""The errors that minigan raises on purpose.

Each is a `MiniganError` and also the built-in exception that fits, such as `ValueError`.
"""

from __future__ import annotations

from typing import Any

from minigan.text import printable


class MiniganError(Exception):
    """Every error that minigan raises on purpose.

    Its message is one line. It may name what a stranger's file holds, so control characters are
    question marks.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class ConfigError(MiniganError, ValueError):
    """An invalid setting: a negative size, an unknown name, a rate above one."""


class ShapeError(MiniganError, ValueError):
    """An array of the wrong shape."""


class DTypeError(MiniganError, TypeError):
    """An array of the wrong element type, such as integers instead of floats."""


class DeviceError(MiniganError, RuntimeError):
    """A device that this machine, or this version of minigan, does not have."""


class OrderError(MiniganError, RuntimeError):
    """A call before another one that it needs, such as backward before forward."""


class DataError(MiniganError, ValueError):
    """Data that cannot be trained on: NaN, infinity, too few samples."""


class FileError(MiniganError, OSError):
    """A file or folder that cannot be made, written or read.

    Attributes:
        errno: the system's number for the reason, or None.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.message = str(args[-1]) if args else ""

    def __str__(self) -> str:
        return printable(self.message)


class CheckpointError(MiniganError, ValueError):
    """A checkpoint or run folder that is missing, damaged, or not the expected one."""


class DamagedError(CheckpointError):
    """A checkpoint that is not complete, or whose bytes are not those that were written."""


class BusyError(MiniganError, RuntimeError):
    """A run that another process, thread or trainer is writing, or has changed since."""


class NonFiniteError(MiniganError, ArithmeticError):
    """A loss or a parameter became NaN or infinite during training."""


class CallbackError(MiniganError, RuntimeError):
    """A user's function that training called has failed. Its own error is the cause."""


class WorkerError(MiniganError, RuntimeError):
    """A process that took part in each training step has ended."""


class DownloadError(MiniganError, OSError):
    """A download that failed from every mirror.

    Attributes:
        offline: whether no mirror answered at all, as without a network.
    """

    def __init__(self, message: str, *, offline: bool = False) -> None:
        super().__init__(message)
        self.offline = offline


class Interrupted(KeyboardInterrupt):
    """A signal ended training, after the step was finished and saved.

    It is not a `MiniganError`, so `except Exception` does not catch it.

    Attributes:
        signum: the signal: SIGINT from Ctrl-C, or SIGTERM.
    """

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.signum = signum

    def __reduce__(self) -> tuple[Any, ...]:  # pickle would give the message alone
        return type(self), (str(self), self.signum), vars(self)


#: What code can raise, ours or a user's class, if a file holds other values than it expects.
UNEXPECTED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
