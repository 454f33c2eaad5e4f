"""Sweeps: one experiment over a grid of settings and seeds, on several processes or machines."""

from minigan.sweeps.sweeping import sweep
from minigan.sweeps.table import Results

__all__ = ["Results", "sweep"]
