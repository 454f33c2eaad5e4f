"""The calculus: layers, losses, optimizers, and the proof that their gradients are right."""

from minigan.nn.gradcheck import GradcheckReport, GradcheckRow, gradcheck, gradcheck_function
from minigan.nn.layers import (
    ELU,
    Binding,
    Dropout,
    Layer,
    LayerPass,
    LeakyReLU,
    Linear,
    Pack,
    ReLU,
    Sigmoid,
    Tanh,
)
from minigan.nn.losses import bce, bce_with_logits, mean_squared_error, softmax_cross_entropy
from minigan.nn.network import Pass, Sequential
from minigan.nn.optim import SGD, Adam, LinearDecay, Optimizer
from minigan.nn.parameters import Parameters

__all__ = [
    "ELU",
    "SGD",
    "Adam",
    "Binding",
    "Dropout",
    "GradcheckReport",
    "GradcheckRow",
    "Layer",
    "LayerPass",
    "LeakyReLU",
    "Linear",
    "LinearDecay",
    "Optimizer",
    "Pack",
    "Parameters",
    "Pass",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "bce",
    "bce_with_logits",
    "gradcheck",
    "gradcheck_function",
    "mean_squared_error",
    "softmax_cross_entropy",
]
