"""Exercise 17: the last layer of a projection discriminator.

    y[i] = x[i] . w + b + x[i] . v[j],   j = labels[i]

X (B, F), w (F, 1), b (1, 1), V (k, F), Y (B, 1). Row j of V is v[j], the vector of class j; labels
(B,) are integers from 0 to k - 1. Several samples can have one class, and a class can have none.
Replace each `...`, then grade it:  minigan ninja check FOLDER ex17
Stuck?  docs/layers/projection.md, or  minigan explain Projection
"""

import numpy as np


def forward(X, labels, w, b, V):
    return X @ w + b + (X * V[labels]).sum(axis=1, keepdims=True)


def backward(dY, X, labels, w, V):
    dw = ...  # (F, 1)
    db = ...  # (1, 1)
    dV = ...  # (k, F)
    dX = ...  # (B, F)
    return dw, db, dV, dX
