"""The layers: one family a file."""

from minigan.nn.layers.activations import ELU, LeakyReLU, ReLU, Sigmoid, Tanh
from minigan.nn.layers.dropout import Dropout
from minigan.nn.layers.linear import Linear
from minigan.nn.layers.pack import Pack
