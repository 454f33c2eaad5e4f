"""Exercise 1: Linear.

    Y = X W + b          X (B, in), W (in, out), b (1, out), Y (B, out)

Given dY (B, out), the gradient of the loss with respect to Y, find those with respect to W, b
and X. Replace each `...`, then grade it:  minigan ninja check FOLDER ex01
Stuck?  docs/layers/linear.md, or  minigan explain Linear
"""

import numpy as np


def forward(X, W, b):
    return X @ W + b


def backward(dY, X, W):
    dW = ...  # (in, out)
    db = ...  # (1, out)
    dX = ...  # (B, in)
    return dW, db, dX
