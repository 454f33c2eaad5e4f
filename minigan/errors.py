"""What can go wrong, by name.

Every error that minigan raises on purpose is a `MiniganError`, and each one also
inherits the built-in exception a Python programmer would expect, so both
`except minigan.MiniganError` and `except ValueError` do what they say.
"""

from __future__ import annotations


class MiniganError(Exception):
    """The family name: catch this to catch everything minigan raises on purpose."""


class ConfigError(MiniganError, ValueError):
    """A setting that cannot be: a negative size, an unknown name, a rate above one."""


class ShapeError(MiniganError, ValueError):
    """An array whose shape does not fit the place it was given to."""


class DTypeError(MiniganError, TypeError):
    """An array whose element type does not fit, such as integers where floats go."""


class DeviceError(MiniganError, RuntimeError):
    """A device that this machine, or this version of minigan, does not offer."""


class OrderError(MiniganError, RuntimeError):
    """A call that came before the one it depends on, such as backward before forward."""


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
        return self.message


class CheckpointError(MiniganError, ValueError):
    """A checkpoint or run folder that is missing, damaged, or belongs to something else."""


class DamagedError(CheckpointError):
    """A checkpoint whose bytes are not those that were written, or that was never finished."""


class BusyError(MiniganError, RuntimeError):
    """A run folder that another process is writing."""


class NonFiniteError(MiniganError, ArithmeticError):
    """A loss or a parameter became NaN or infinite during training."""


class CallbackError(MiniganError, RuntimeError):
    """A function that was called during training failed. Its own error is the cause."""


class DownloadError(MiniganError, OSError):
    """A download that no mirror gave.

    Attributes:
        offline: whether no mirror answered at all, as without a network.
    """

    def __init__(self, message: str, offline: bool = False) -> None:
        super().__init__(message)
        self.offline = offline


class Interrupted(KeyboardInterrupt):
    """Training that a signal ended, after the step was finished and saved.

    It is no `MiniganError`, so that `except Exception` does not swallow it.

    Attributes:
        signum: the signal: SIGINT from Ctrl-C, or SIGTERM.
    """

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.signum = signum
