"""The 1-D experiment's whole training in one CUDA kernel, thousands of steps per launch.

The trainer asks `fused_training` for it before each stretch of steps; nothing else uses this
package. minigan/backend/cuda/kernels/gaussian1d/ holds the kernel and explains it. Here is what
surrounds it: which GANs it can train (form.py), how its shared memory is divided (memory.py), and
the launch (launch.py). After a launch, the GAN is where as many calls of `GAN.step` would have left
it, to rounding: parameters, optimizers, moving average, losses, positions of the random streams.

The kernel fits the recipes of examples/gaussian1d.py and little else. If a recipe, or a run while
it trains, changes to anything that the kernel does not have, `fused_training` returns None, and the
trainer takes single steps as a CUDA graph. That is no error and prints nothing: the results are
the same to rounding, only slower. A `FusedTraining` that is used directly raises ConfigError.
"""

from minigan.training.fused.launch import FusedTraining, fused_training

__all__ = ["FusedTraining", "fused_training"]
