"""Exercise 5: ELU, from its output.

    Y = X                     where X > 0
    Y = alpha (e^X - 1)       elsewhere        X and Y (B, F), alpha a number > 0

Forward wrote Y over X, so X is gone: express both slopes by Y and alpha.
Replace each `...`, then grade it:  minigan ninja check FOLDER ex05
Stuck?  docs/layers/elu.md, or  minigan explain ELU
"""

import numpy as np


def forward(X, alpha):
    return np.where(X > 0, X, alpha * (np.exp(X) - 1))


def backward(dY, Y, alpha):
    dX = ...  # (B, F)
    return dX
