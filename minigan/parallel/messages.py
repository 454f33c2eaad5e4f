"""Messages to other processes: pickles, which are never in a file."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from minigan.errors import ConfigError


def pickled(message: Any) -> bytes:
    """A message as bytes; `ConfigError` if it cannot be pickled."""
    try:
        return pickle.dumps(message, protocol=5)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ConfigError(f"this cannot be sent to the other processes: {error}") from error


def send_to_all(
    pipes: Sequence[Connection], message: Any, broken: Callable[[Connection], None]
) -> None:
    """Send a message through all pipes, where `recv` receives it.

    Args:
        broken: called with a pipe whose other end is closed; raises the error.
    """
    content = pickled(message)
    for pipe in pipes:
        try:
            pipe.send_bytes(content)
        except OSError:
            broken(pipe)
