"""A trainer writes a run folder: so only one thread uses it at a time, and there is no copy."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import NoReturn

from minigan.errors import BusyError, ConfigError
from minigan.fixed import Fixed


class Exclusive(Fixed):
    """An object that one thread uses at a time, and that cannot be copied or pickled."""

    _thread: threading.RLock  # held by the thread that uses it

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other threads out; `BusyError` if one is in such a block already."""
        if not self._thread.acquire(blocking=False):
            raise BusyError("another thread of this process is training this run; let it end")
        try:
            yield
        finally:
            self._thread.release()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise ConfigError(
            f"a {type(self).__name__} cannot be copied or pickled, since only one may write a run "
            "folder; Trainer.resume opens the folder in another process"
        )
