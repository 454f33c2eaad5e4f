"""Layers, losses, optimizers. gradcheck.py checks their gradients."""

from minigan.nn.layer import Binding, Layer, LayerPass, Needs
from minigan.nn.layers import (
    ELU,
    AppendChannels,
    AppendCondition,
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Embedding,
    LayerNorm,
    LeakyReLU,
    Linear,
    Pack,
    Projection,
    ReLU,
    Sigmoid,
    Tanh,
    Upsample2d,
)
from minigan.nn.losses import bce, bce_with_logits, mean_squared_error, softmax_cross_entropy
from minigan.nn.optim import SGD, Adam, LinearDecay, Optimizer, RMSprop
from minigan.nn.parameters import FlatBuffer, Parameters
from minigan.nn.passes import Pass
from minigan.nn.sequential import Sequential
