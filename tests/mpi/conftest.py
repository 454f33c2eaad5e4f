"""Tests that several processes run together: `make mpi`. Each process runs all of them.

    mpiexec -n 2 python -m pytest tests/mpi

In an ordinary run they are skipped.
"""

from __future__ import annotations

import pytest

from minigan.parallel.launch import launched
from minigan.parallel.program import connect
from minigan.parallel.ranks import Ranks


@pytest.fixture(scope="session")
def ranks() -> Ranks:
    """All processes, as this one sees them."""
    if launched() is None:
        pytest.skip("these tests need several processes: make mpi")
    found = connect()
    assert found is not None
    return found
