"""minigan: a tiny neural-network engine without autograd, and the GANs it trains."""

from minigan.gan import *
from minigan.nn import *
