"""Exercise 18: InfoGAN's term, and a trunk with two heads.

    H = tanh(X W1 + b1)      X (B, in), W1 (in, hidden), b1 (1, hidden), H (B, hidden): the trunk
    y = H W2 + b2            W2 (hidden, 1), b2 (1, 1), y (B, 1): D's head, a logit
    guess = H W3 + b3        W3 (hidden, K + m), b3 (1, K + m): Q, K logits, then m means

X are generated samples. Each was made from a category, a row of category (B, K) that is 1 there and
0 elsewhere, and from m numbers, a row of code (B, m). The loss is that of D, plus the term:

    mean over the rows of   log(1 + e^y)
                          + log(sum_k e^(logits[k])) - logits[category]
                          + sum_j (code[j] - means[j])^2 / (2 std^2)

Replace each `...`, then grade it:  minigan ninja check FOLDER ex18
Stuck?  docs/gan/infogan.md, or  minigan explain TwoHeads
"""

import numpy as np


def forward(X, category, code, std, W1, b1, W2, b2, W3, b3):
    H = np.tanh(X @ W1 + b1)
    y, guess = H @ W2 + b2, H @ W3 + b3
    K = category.shape[1]
    logits, means = guess[:, :K], guess[:, K:]
    term = np.log(np.exp(logits).sum(axis=1)) - (logits * category).sum(axis=1)
    term = term + ((code - means) ** 2).sum(axis=1) / (2 * std**2)
    return H, y, guess, np.mean(np.log1p(np.exp(y))) + np.mean(term)


def backward(X, H, y, guess, category, code, std, W2, W3):
    K = category.shape[1]
    logits, means = guess[:, :K], guess[:, K:]
    dy = ...  # (B, 1)
    dlogits = ...  # (B, K)
    dmeans = ...  # (B, m)
    dguess = ...  # (B, K + m), dlogits and dmeans side by side
    dW2 = ...  # (hidden, 1)
    dW3 = ...  # (hidden, K + m)
    dH = ...  # (B, hidden)
    dA = ...  # (B, hidden), the gradient by X W1 + b1
    dW1 = ...  # (in, hidden)
    db1 = ...  # (1, hidden)
    return dW2, dW3, dW1, db1
