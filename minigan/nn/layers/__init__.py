"""The layers: one family a file."""

from minigan.nn.layers.activations import ELU, LeakyReLU, ReLU, Sigmoid, Tanh
from minigan.nn.layers.batch_norm import BatchNorm
from minigan.nn.layers.condition import AppendChannels, AppendCondition, Embedding
from minigan.nn.layers.convolution import Conv2d, ConvTranspose2d
from minigan.nn.layers.dropout import Dropout
from minigan.nn.layers.layer_norm import LayerNorm
from minigan.nn.layers.linear import Linear
from minigan.nn.layers.pack import Pack
from minigan.nn.layers.projection import Projection
from minigan.nn.layers.upsample import Upsample2d
