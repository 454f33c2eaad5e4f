"""Exercise 3: sigmoid, from its output.

    Y = 1 / (1 + e^-X)   X and Y (B, F)

Forward wrote Y over X, so X is gone: express the slope by Y.
Replace each `...`, then grade it:  minigan ninja check FOLDER ex03
Stuck?  docs/layers/sigmoid.md, or  minigan explain Sigmoid
"""

import numpy as np


def forward(X):
    return 1 / (1 + np.exp(-X))


def backward(dY, Y):
    dX = ...  # (B, F)
    return dX
