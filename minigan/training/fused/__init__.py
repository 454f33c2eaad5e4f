"""The 1-D experiment's whole training in one CUDA kernel, thousands of steps a launch.

minigan/backend/cuda/gaussian1d.cu holds the kernel and says how it works. Here is what surrounds
it: which GANs it can train (form.py), how its shared memory is divided (memory.py), and the launch
(launch.py). After it, the GAN is where so many calls of `GAN.step` would have left it, to
rounding: parameters, optimizers, moving average, losses, positions of the random streams.
"""

from minigan.training.fused.form import TERMS
from minigan.training.fused.launch import FusedTraining, fused_training, misfit
from minigan.training.fused.memory import PIECES, SHARED_MEMORY, SIZES, THREADS, plan

__all__ = [
    "PIECES",
    "SHARED_MEMORY",
    "SIZES",
    "TERMS",
    "THREADS",
    "FusedTraining",
    "fused_training",
    "misfit",
    "plan",
]
