"""The calculus: layers, losses, optimizers, and the proof that their gradients are right."""

from minigan.nn.gradcheck import GradcheckReport, GradcheckRow, gradcheck, gradcheck_function
from minigan.nn.layer import Binding, Layer, LayerPass, Needs
from minigan.nn.layers import ELU, Dropout, LeakyReLU, Linear, Pack, ReLU, Sigmoid, Tanh
from minigan.nn.losses import bce, bce_with_logits, mean_squared_error, softmax_cross_entropy
from minigan.nn.optim import SGD, Adam, LinearDecay, Optimizer
from minigan.nn.parameters import FlatBuffer, Parameters
from minigan.nn.passes import Pass
from minigan.nn.sequential import Sequential

__all__ = [
    "ELU",
    "SGD",
    "Adam",
    "Binding",
    "Dropout",
    "FlatBuffer",
    "GradcheckReport",
    "GradcheckRow",
    "Layer",
    "LayerPass",
    "LeakyReLU",
    "Linear",
    "LinearDecay",
    "Needs",
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
