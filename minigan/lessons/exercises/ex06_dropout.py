"""Exercise 6: dropout.

    Y = X * mask         X, mask and Y (B, F)

The mask was drawn in forward: 0 where a unit is dropped, 1 / (1 - rate) where it is kept.
Replace each `...`, then grade it:  minigan ninja check FOLDER ex06
Stuck?  docs/layers/dropout.md, or  minigan explain Dropout
"""

import numpy as np


def forward(X, mask):
    return X * mask


def backward(dY, mask):
    dX = ...  # (B, F)
    return dX
