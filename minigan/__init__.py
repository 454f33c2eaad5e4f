"""minigan: a tiny neural-network engine without autograd, and the GANs it trains.

Each package imports only from those above it, and from the files next to this one:

    backend     arithmetic: arrays, kernels, random streams
    nn          networks: layers, losses, optimizers, gradient checks
    gan         the game: one adversarial step
    data        where real samples come from
    evaluation  scores and pictures of samples
    training    the training loop and the files of a run
    lessons     what `minigan explain` and `minigan ninja` teach
    experiment  command lines that train a recipe
    sweeps      an experiment over a grid of settings and seeds
    cli         the `minigan` command
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from minigan.backend import Stream
from minigan.config import register
from minigan.data import (
    DataSource,
    Distribution,
    Gaussian,
    Grid,
    Images,
    ImageSet,
    Moons,
    Points,
    Ring,
    Samples,
    Spiral,
    load_images,
)
from minigan.errors import (
    BusyError,
    CallbackError,
    CheckpointError,
    ConfigError,
    DataError,
    DeviceError,
    DownloadError,
    DTypeError,
    FileError,
    Interrupted,
    MiniganError,
    NonFiniteError,
    OrderError,
    ShapeError,
    WorkerError,
)
from minigan.gan import (
    GAN,
    R1,
    Clip,
    ConditionalGAN,
    Consistency,
    Constraint,
    Drift,
    Game,
    GradientPenalty,
    Hinge,
    InfoGAN,
    LeastSquares,
    Loss,
    Minimax,
    MovingAverage,
    Noise,
    NonSaturating,
    Normal,
    Penalty,
    PenaltyPass,
    Stratified,
    Uniform,
    Wasserstein,
)
from minigan.nn import (
    ELU,
    SGD,
    Adam,
    AppendChannels,
    AppendCondition,
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Embedding,
    Layer,
    LayerNorm,
    LayerPass,
    LeakyReLU,
    Linear,
    LinearDecay,
    Optimizer,
    Pack,
    Parameters,
    Projection,
    ReLU,
    RMSprop,
    Sequential,
    Sigmoid,
    Tanh,
    Upsample2d,
    bce,
    bce_with_logits,
    mean_squared_error,
    softmax_cross_entropy,
)
from minigan.version import __version__

if TYPE_CHECKING:
    from minigan.nn.gradcheck import GradcheckReport, gradcheck, gradcheck_function
    from minigan.parallel.program import mpi_main
    from minigan.sweeps import sweep
    from minigan.training import (
        Run,
        Trainer,
        load_checkpoint,
        load_run,
        read_frames,
        read_history,
        read_recipe,
        save_checkpoint,
    )

#: Imported on first use, since they take longer to import than the engine.
_MODULES = ("cli", "evaluation", "experiment", "replay", "sweeps", "training")
_LATER = {
    "mpi_main": "parallel.program",
    **dict.fromkeys(("GradcheckReport", "gradcheck", "gradcheck_function"), "nn.gradcheck"),
    **dict.fromkeys(("Run", "Trainer", "load_checkpoint", "load_run"), "training"),
    **dict.fromkeys(("read_frames", "read_history", "read_recipe", "save_checkpoint"), "training"),
    "sweep": "sweeps",
}


def __getattr__(name: str) -> Any:
    """Import a part of the library when it is first used (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f"minigan.{name}")
    if name in _LATER:
        return getattr(importlib.import_module(f"minigan.{_LATER[name]}"), name)
    raise AttributeError(f"module 'minigan' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "ELU", "GAN", "R1", "SGD", "Adam", "AppendChannels", "AppendCondition", "BatchNorm",
    "BusyError", "CallbackError", "CheckpointError", "Clip", "ConditionalGAN", "ConfigError",
    "Consistency", "Constraint", "Conv2d", "ConvTranspose2d", "DTypeError", "DataError",
    "DataSource", "DeviceError", "Distribution", "DownloadError", "Drift", "Dropout", "Embedding",
    "FileError", "Game", "Gaussian", "GradcheckReport", "GradientPenalty", "Grid", "Hinge",
    "ImageSet", "Images", "InfoGAN", "Interrupted", "Layer", "LayerNorm", "LayerPass", "LeakyReLU",
    "LeastSquares", "Linear", "LinearDecay", "Loss", "MiniganError", "Minimax", "Moons",
    "MovingAverage", "Noise", "NonFiniteError", "NonSaturating", "Normal", "Optimizer",
    "OrderError", "Pack", "Parameters", "Penalty", "PenaltyPass", "Points", "Projection", "RMSprop",
    "ReLU", "Ring", "Run", "Samples", "Sequential", "ShapeError", "Sigmoid", "Spiral", "Stratified",
    "Stream", "Tanh", "Trainer", "Uniform", "Upsample2d", "Wasserstein", "WorkerError",
    "__version__", "bce", "bce_with_logits", "gradcheck", "gradcheck_function", "load_checkpoint",
    "load_images", "load_run", "mean_squared_error", "mpi_main", "read_frames", "read_history",
    "read_recipe", "register", "save_checkpoint", "softmax_cross_entropy", "sweep",
]  # fmt: skip
