"""Arrays, kernels, and counter-based random streams."""

# First, at a shallow depth: deeper in nested imports, CPython 3.11 took 40 ms longer to import it.
import numpy as _

from minigan.backend.base import Array, Backend, check_dtype
from minigan.backend.devices import chosen, device_name, get_backend
from minigan.backend.outside import (
    ANY,
    FLOATS,
    INTEGERS,
    NUMBERS,
    NUMBERS_OR_BOOLEANS,
    checked_array,
)
from minigan.backend.random import Seeds, Stream, as_seeds, plain_seeds
