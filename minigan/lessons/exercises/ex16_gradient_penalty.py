"""Exercise 16: a penalty of the input gradient, and its gradient by the parameters.

    Z = X W1 + b1                     X (B, in), W1 (in, hidden), b1 (1, hidden), Z (B, hidden)
    H = tanh(Z)                       H (B, hidden)
    Y = H W2 + b2                     W2 (hidden, 1), b2 (1, 1), Y (B, 1)

Row i of G is the gradient of y_i by x_i; a first backward pass makes it.      G (B, in)
The penalty is P = the mean over the rows g of ||g||^2.

Its gradients need two more passes: V = dP/dG is sent forward as a tangent, and the curvature of
tanh is sent back. (b2 moves no slope, so its gradient is 0.)
Replace each `...`, then grade it:  minigan ninja check FOLDER ex16
Stuck?  docs/second_order.md
"""

import numpy as np


def forward(X, W1, b1, W2, b2):
    H = np.tanh(X @ W1 + b1)
    return H, H @ W2 + b2


def backward(X, H, W1, W2):
    E_H = np.ones((len(X), 1)) @ W2.T  # (B, hidden), the first backward: the gradient of y by H
    E_Z = E_H * (1 - H**2)  # (B, hidden), that by Z
    G = E_Z @ W1.T  # (B, in)
    V = ...  # (B, in), the gradient of P by G
    U_Z = ...  # (B, hidden), the tangent of Z: how Z changes if X moves by V
    U_H = ...  # (B, hidden), the tangent of H
    dW2 = ...  # (hidden, 1)
    C = ...  # (B, hidden), the curvature: the gradient of the sum of E_H * U_H by Z
    dW1 = ...  # (in, hidden)
    db1 = ...  # (1, hidden)
    return dW2, dW1, db1
