"""Exercise 14: convolution, one tap of the kernel after the other.

    Y = b + sum over the taps (i, j) of seen(i, j) W[i, j]

X (B, h, w, c), W (kh, kw, c, o), b (o,), Y (B, oh, ow, o). The kernel moves by s pixels over P,
which is X with p rows and columns of zeros on each side. A tap (i, j) is a position in the kernel.
seen(i, j) (B, oh, ow, c) has the pixels of P under this tap in all oh x ow places. It is a view, so
`x = seen(...)` and then `x += ...` change P.

Replace each `...`: db is one line, dW and dX need a loop over the taps, as in forward.
Then grade it:  minigan ninja check FOLDER ex14
Stuck?  docs/layers/conv2d.md, or  minigan explain Conv2d
"""

import numpy as np


def padded(X, p):
    return np.pad(X, ((0, 0), (p, p), (p, p), (0, 0)))  # (B, h + 2 p, w + 2 p, c)


def seen(P, tap, places, s):
    (i, j), (oh, ow) = tap, places
    return P[:, i : i + s * oh : s, j : j + s * ow : s]  # (B, oh, ow, c), a view


def forward(X, W, b, s, p):
    P = padded(X, p)
    kh, kw, _, o = W.shape
    places = (P.shape[1] - kh) // s + 1, (P.shape[2] - kw) // s + 1
    Y = np.zeros((len(X), *places, o)) + b
    for tap in np.ndindex(kh, kw):
        Y += seen(P, tap, places, s) @ W[tap]
    return Y


def backward(dY, X, W, s, p):
    P = padded(X, p)
    places = dY.shape[1:3]
    dW = ...  # (kh, kw, c, o)
    db = ...  # (o,)
    dX = ...  # (B, h, w, c)
    return dW, db, dX
