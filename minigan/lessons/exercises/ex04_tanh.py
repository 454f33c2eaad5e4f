"""Exercise 4: tanh, from its output.

    Y = tanh(X)          X and Y (B, F)

Forward wrote Y over X, so X is gone: express the slope by Y.
Replace each `...`, then grade it:  minigan ninja check FOLDER ex04
Stuck?  docs/layers/tanh.md, or  minigan explain Tanh
"""

import numpy as np


def forward(X):
    return np.tanh(X)


def backward(dY, Y):
    dX = ...  # (B, F)
    return dX
