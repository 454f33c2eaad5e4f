"""Trainers in forked processes; prints what happens: python tests/forks.py FOLDER"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from harness import start

import minigan as mg
from minigan.training.lock import WRITER, WriterLock


def in_a_child(work: Callable[[], object]) -> str:
    """The name of the error of a forked process, or "fine"."""
    read, write = os.pipe()
    if os.fork() == 0:
        try:
            work()
            said = "fine"
        except BaseException as error:
            said = type(error).__name__
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    os.wait()
    with os.fdopen(read) as pipe:
        return pipe.read()


class Leaving(Exception):
    """Raised in a forked process, which so leaves the `fit` that its parent is in."""


def fork_within_fit(trainer: mg.Trainer) -> None:
    changes = {"on_nan": "rollback"}
    for use in (trainer.save, lambda: trainer.fit(steps=90), lambda: trainer.change(changes)):
        print(in_a_child(use))
    child = os.fork()
    if child == 0:
        raise Leaving
    os.waitpid(child, 0)
    assert (trainer.out / WRITER).exists()
    try:
        WriterLock(trainer.out).__enter__()
    except mg.BusyError:
        print("still locked")


def main(folder: Path) -> None:
    idle = start(folder / "idle")
    print(in_a_child(lambda: idle.fit(steps=10)))  # made before the fork, used after it
    print(mg.load_run(folder / "idle").gan.step_count)
    run = start(folder / "run")
    run.every(15, "step", fork_within_fit)
    try:
        run.fit(steps=20)
    except mg.CallbackError as error:
        if isinstance(error.__cause__, Leaving):
            os._exit(0)
        raise
    print(run.gan.step_count, (run.out / WRITER).exists())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
