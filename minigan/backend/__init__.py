"""Arrays, kernels, and counter-based random streams."""

from minigan.backend.base import Array, Backend, check_dtype
from minigan.backend.devices import chosen, device_name, get_backend
from minigan.backend.random import Seeds, Stream, as_seeds, plain_seeds
