"""Exercise 12: a network of two layers, and its loss.

    A = X W1 + b1                     X (B, in), W1 (in, hidden), b1 (1, hidden)
    H = ELU(A), alpha = 1             A and H (B, hidden)
    logits = H W2 + b2                W2 (hidden, 1), b2 (1, 1), logits (B, 1)
    loss = binary cross-entropy of sigmoid(logits) and t, the mean over B       t (B, 1)

The chain rule from the end to the beginning: each line needs the one above it.
Replace each `...`, then grade it:  minigan ninja check FOLDER ex12
Stuck?  docs/network.md, docs/layers/elu.md and docs/losses/bce_with_logits.md
"""

import numpy as np


def forward(X, t, W1, b1, W2, b2):
    A = X @ W1 + b1
    H = np.where(A > 0, A, np.exp(A) - 1)
    logits = H @ W2 + b2
    loss = np.mean(np.maximum(logits, 0) - logits * t + np.log1p(np.exp(-np.abs(logits))))
    return H, logits, loss


def backward(X, t, H, logits, W2):
    dlogits = ...  # (B, 1)
    dW2 = ...  # (hidden, 1)
    db2 = ...  # (1, 1)
    dH = ...  # (B, hidden)
    dA = ...  # (B, hidden)
    dW1 = ...  # (in, hidden)
    db1 = ...  # (1, hidden)
    return dW1, db1, dW2, db2
