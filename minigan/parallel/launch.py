"""Whether mpiexec has started this process with others; and what MPI leaves to be done then.

The launchers say so in environment variables. So an ordinary run need not import mpi4py, which
takes longer to import than the engine.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from minigan.errors import ConfigError

#: The variables of rank and size: Open MPI's mpiexec; MPICH's and Intel's; Slurm's srun with PMIx.
VARIABLES = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("PMIX_RANK", "SLURM_STEP_NUM_TASKS"),
)
MEMORY = re.compile(r"(/dev/shm/mpich_shm_\w+)$", re.MULTILINE)  # in /proc/self/maps


class Launch(NamedTuple):
    """One of the processes that a launcher has started.

    Attributes:
        rank: of this process, from 0.
        size: how many there are, >= 2.
    """

    rank: int
    size: int


def launched(environment: Mapping[str, str] | None = None) -> Launch | None:
    """This process's place among several that a launcher has started; None if it is alone.

    Args:
        environment: by default this process's.
    """
    environment = os.environ if environment is None else environment
    for rank, size in VARIABLES:
        try:
            launch = Launch(int(environment[rank]), int(environment[size]))
        except (KeyError, ValueError):
            continue
        return launch if launch.size > 1 else None
    return None


def mpi_of(launch: Launch) -> Any:
    """The module `mpi4py.MPI`, which sees all ranks of the launch."""
    try:
        from mpi4py import MPI  # only under mpiexec
    except (ImportError, RuntimeError) as error:  # RuntimeError: there is no MPI library
        problem = (
            f"mpiexec has started {launch.size} processes, which need mpi4py to share their steps "
            f'({error}): pip install "minigan[mpi]"'
        )
    else:
        size = MPI.COMM_WORLD.size
        if size == launch.size:
            return MPI
        library = MPI.Get_library_version().splitlines()[0]
        problem = (
            f"{launch.size} processes were started, but mpi4py's MPI library ({library}) finds "
            f"{size}: use the mpiexec of that library"
        )
    if launch.rank:
        raise SystemExit(2)  # rank 0 has the sentence
    raise ConfigError(problem)


def remove_name_of_memory() -> None:
    """Remove the name of MPICH's shared memory, which all ranks have opened.

    So the operating system frees it when the last of them ends. MPICH removes the name only if they
    end well: not after `kill -9`, and not after an error.
    """
    maps = Path("/proc/self/maps")
    for name in MEMORY.findall(maps.read_text()) if maps.exists() else ():
        with contextlib.suppress(OSError):  # another rank was faster
            os.unlink(name)
