"""Messages to other processes of a run, in the form in which `multiprocessing` sends objects.

They go from memory to memory. In files there is nothing of this form, which could execute code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

from minigan.errors import ConfigError


def encoded(message: Any) -> memoryview:
    """A message as bytes; `ConfigError` if it cannot be sent."""
    try:
        content: memoryview = ForkingPickler.dumps(message)
    except Exception as error:  # whatever a part's own way of being copied raises
        raise ConfigError(f"this cannot be sent to the other processes: {error}") from error
    return content


def decoded(content: Any) -> Any:
    """The message of such bytes."""
    return ForkingPickler.loads(content)


def send_to_all(
    pipes: Sequence[Connection], message: Any, broken: Callable[[Connection], None]
) -> None:
    """Send a message through all pipes, where `recv` receives it.

    Args:
        broken: called with a pipe whose other end is closed; raises the error.
    """
    content = encoded(message)
    for pipe in pipes:
        try:
            pipe.send_bytes(content)
        except OSError:
            broken(pipe)
