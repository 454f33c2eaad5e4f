"""minigan: a tiny neural-network engine without autograd, and the GANs it trains.

Read it in the order of its imports, which is also the order of the ideas:

    backend     the arithmetic: arrays, kernels, random streams
    nn          the calculus: layers, losses, optimizers, gradient checks
    gan         the game: one adversarial step
    data        the truth: where real samples come from
    evaluation  the judge: how good the samples are
    training    the clock: steps, files
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
    Images,
    ImageSet,
    Samples,
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
)
from minigan.gan import (
    GAN,
    Clip,
    Constraint,
    Drift,
    Game,
    LeastSquares,
    Loss,
    Minimax,
    MovingAverage,
    Noise,
    NonSaturating,
    Normal,
    Penalty,
    PenaltyPass,
    Uniform,
)
from minigan.nn import (
    ELU,
    SGD,
    Adam,
    Dropout,
    Layer,
    LayerPass,
    LeakyReLU,
    Linear,
    LinearDecay,
    Optimizer,
    Pack,
    Parameters,
    ReLU,
    Sequential,
    Sigmoid,
    Tanh,
    bce,
    bce_with_logits,
    mean_squared_error,
    softmax_cross_entropy,
)
from minigan.version import __version__

if TYPE_CHECKING:
    from minigan.nn.gradcheck import GradcheckReport, gradcheck, gradcheck_function
    from minigan.training import (
        Run,
        Trainer,
        load_checkpoint,
        load_run,
        read_history,
        read_recipe,
        save_checkpoint,
    )

#: What is imported on first use: files, locks and signals take longer to import than the engine.
_LATER = {
    "GradcheckReport": "minigan.nn.gradcheck",
    "Run": "minigan.training",
    "Trainer": "minigan.training",
    "gradcheck": "minigan.nn.gradcheck",
    "gradcheck_function": "minigan.nn.gradcheck",
    "load_checkpoint": "minigan.training",
    "load_run": "minigan.training",
    "read_history": "minigan.training",
    "read_recipe": "minigan.training",
    "save_checkpoint": "minigan.training",
}

_WINGS = ("cli", "data", "evaluation", "experiment", "files", "training")


def __getattr__(name: str) -> Any:
    """Import a part of the library when it is asked for (PEP 562)."""
    if name in _WINGS:
        return importlib.import_module(f"minigan.{name}")
    if name not in _LATER:
        raise AttributeError(f"module 'minigan' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_LATER[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "ELU",
    "GAN",
    "SGD",
    "Adam",
    "BusyError",
    "CallbackError",
    "CheckpointError",
    "Clip",
    "ConfigError",
    "Constraint",
    "DTypeError",
    "DataError",
    "DataSource",
    "DeviceError",
    "Distribution",
    "DownloadError",
    "Drift",
    "Dropout",
    "FileError",
    "Game",
    "Gaussian",
    "GradcheckReport",
    "ImageSet",
    "Images",
    "Interrupted",
    "Layer",
    "LayerPass",
    "LeakyReLU",
    "LeastSquares",
    "Linear",
    "LinearDecay",
    "Loss",
    "MiniganError",
    "Minimax",
    "MovingAverage",
    "Noise",
    "NonFiniteError",
    "NonSaturating",
    "Normal",
    "Optimizer",
    "OrderError",
    "Pack",
    "Parameters",
    "Penalty",
    "PenaltyPass",
    "ReLU",
    "Run",
    "Samples",
    "Sequential",
    "ShapeError",
    "Sigmoid",
    "Stream",
    "Tanh",
    "Trainer",
    "Uniform",
    "__version__",
    "bce",
    "bce_with_logits",
    "gradcheck",
    "gradcheck_function",
    "load_checkpoint",
    "load_images",
    "load_run",
    "mean_squared_error",
    "read_history",
    "read_recipe",
    "register",
    "save_checkpoint",
    "softmax_cross_entropy",
]
