"""The mistakes that people make in the exercises: the lines that they write, each with a hint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from minigan.lessons.grader import Grads

Effects = Mapping[str, Callable[[Any], Grads]]


def wrong_gradients(
    code: str, scope: Mapping[str, Any], names: Iterable[str], effects: Effects
) -> list[tuple[Grads, str]]:
    """The wrong gradients that lines of code make, each with its hint.

    Args:
        code: lines "name = formula  # hint". A line that begins with # continues the hint above; a
            mistake without a hint has the one above. All other names are helper variables.
        scope: what the formulas can use.
        names: of the gradients that can be wrong.
        effects: for other names that can be wrong, the gradients that follow from a value.
    """
    scope, names = {**scope, "np": np}, {*names, *effects}
    found: list[tuple[Grads, str]] = []
    for line in code.strip().splitlines():
        statement, _, hint = (part.strip() for part in line.partition("#"))
        if not statement:
            grads, start = found.pop()
            found.append((grads, f"{start} {hint}"))
            continue
        name, _, formula = statement.partition(" = ")
        value = eval(formula, scope)
        if name in names:
            wrong = effects[name](value) if name in effects else {name: value}
            found.append((wrong, hint or found[-1][1]))
        else:
            scope[name] = value
    return found


LINEAR = """
dW = X.T @ dY / len(X)  # It is divided by B. The loss has put the 1/N of the mean into dY already;
    # a layer only sums
db = dY.mean(axis=0, keepdims=True)
dX = dY @ W.T / len(X)
db = dY[:1]  # That is the first row alone: the bias was added to every row
db = dY.sum() + 0 * dY[:1]  # That is the sum of all entries: each column has its own bias
dX = X  # That is X itself, not the gradient of the loss with respect to it
dW = W  # That is W itself, not the gradient of the loss with respect to it
"""

#: Mistakes with the two factors of any elementwise backward, dX = dY f'(X).
ELEMENTWISE = """
dX = dY  # That is dY itself: it has not been multiplied by the layer's slope
dX = slope  # That is the layer's slope alone: the chain rule multiplies it by dY
dX = dY + slope  # The chain rule multiplies dY by the slope; it does not add them
"""

RELU = """
dX = dY  # That is dY itself: every unit passes. (Y >= 0 is true everywhere, since Y is max(X, 0))
dX = dY * Y  # dY is multiplied by Y itself; the slope is 1 where Y > 0, and 0 elsewhere
dX = np.maximum(dY, 0)  # The mask is taken from dY: forward decides which units pass, by Y > 0
dX = dY * (Y <= 0)  # The mask is inverted: units with Y > 0 pass
"""

SIGMOID = """
S = 1 / (1 + np.exp(-Y))
dX = dY * S * (1 - S)  # Y is the output already: the sigmoid must not be taken again
dX = dY * Y  # The factor 1 - Y is missing
dX = dY * (1 - Y)  # The factor Y is missing
dX = dY * (1 - Y**2)  # That is tanh's slope; the sigmoid's is Y (1 - Y)
"""

TANH = """
dX = dY * (1 - np.tanh(Y) ** 2)  # Y is the output already: tanh must not be taken again
dX = dY * (1 - Y)  # Y must be squared: cosh^2 - sinh^2 = 1
dX = dY * (1 - Y) ** 2  # 1 - Y^2 is not (1 - Y)^2
dX = dY * Y * (1 - Y)  # That is the sigmoid's slope; tanh's is 1 - Y^2
dX = dY / np.cosh(Y) ** 2  # 1 / cosh^2 is the slope as a function of X, but Y is the output
"""

ELU = """
below = lambda slope: dY * np.where(Y > 0, 1, slope)
dX = below(Y)  # Below zero Y = alpha e^X - alpha, so the slope alpha e^X is Y + alpha, not Y
dX = below(Y + 1)  # alpha is forgotten: the slope alpha e^X is Y + alpha, which need not be Y + 1
dX = below(alpha * np.exp(Y))  # The exponential is of Y; it should be of X, and X is gone
dX = below(np.exp(Y))
dX = dY * (Y + alpha)  # Where Y > 0 the slope is 1
dX = below(alpha * (Y + 1))  # Below zero Y = alpha e^X - alpha: just add alpha to Y
dX = below(Y / alpha + 1)  # That is e^X; the slope is alpha e^X
dX = below(alpha - Y)  # Below zero Y is negative, and the slope is Y + alpha
dX = below(0)  # Below zero ELU is not flat, as ReLU is: its slope is alpha e^X
"""

DROPOUT = """
dX = dY  # The mask is forgotten: a dropped unit passes nothing on
dX = dY * (mask > 0)  # The scale is forgotten: kept units were multiplied by 1 / (1 - rate)
dX = dY * (mask == 0)  # The mask is inverted: kept units pass
dX = dY * mask**2  # The mask is applied twice
dX = mask  # That is the mask alone: the chain rule multiplies it by dY
"""

PACK = """
straight = dY.reshape(-1, 2, m, X.shape[1])[:, 0]
squared = dY.reshape(-1, 2, m, X.shape[1])[:, 1]
x = X.reshape(-1, m, X.shape[1])
off = x - x.mean(axis=1, keepdims=True)
term = 2 * off * squared
dX = straight  # The squared deviations are forgotten: each x_i is in two places of Y
dX = term  # The samples themselves are forgotten: each x_i is in two places of Y
dX = straight + off * squared  # The 2 of the square's derivative is missing
dX = straight + term - term.mean(axis=1, keepdims=True)  # c is differentiated too; here it counts
    # as a constant
dX = straight + 2 * x * squared  # The square is of x_i - c, not of x_i: c is missing
dX = squared + 2 * off * straight  # The halves of dY are swapped: the samples come first
dX = straight + 2 * (x - X.mean(axis=0)) * squared  # The mean is of the batch, not of each pack
dX = straight + squared  # The square's slope 2 (x_i - c) is missing
dX = straight - term  # The sign of the deviations' term is wrong
"""

#: The two functions return the right gradients, or gradients with one mistake.
CONV2D = """
db = dY.sum(axis=0)  # b was added in each place of each image: sum over the axes 0, 1 and 2
db = dY.sum(axis=(1, 2))
db = dY.sum(axis=(0, 1))
db = dY.sum(axis=(0, 2))
db = dY.sum(axis=(1, 2, 3))
db = dY.sum(axis=(0, 1, 3))
db = dY.sum(axis=(0, 2, 3))
db = dY.sum(axis=(0, 1, 2), keepdims=True)  # b has one axis, that of the channels: no keepdims
db = dY.sum(axis=(0, 1, 2))[None]
db = dY.mean(axis=(0, 1, 2))  # It is divided once too often: the loss has put its 1/N into dY
    # already; a layer only sums
dW = weight_gradient() / B
dX = image_gradient() / B
dW = weight_gradient()[::-1, ::-1]  # The kernel is turned around: dW[i, j] needs the pixels under
    # tap (i, j), which are i rows and j columns after the first pixel of each window
dX = image_gradient(W=W[::-1, ::-1])  # The kernel is turned around: add dY W[i, j]^T to the pixels
    # under tap (i, j)
dW = weight_gradient(step=1)  # The stride is forgotten: the places are s pixels apart
dX = image_gradient(step=1)
dX = image_gradient(add=False)  # Windows overlap: the gradient of a pixel is the sum over all taps
    # that lie on it in some place, so add (+=) instead of assigning
dX = image_gradient(first=None)  # The padding is still there: cut p rows and columns off each side
dX = image_gradient(first=0)  # The padding is cut off only below and on the right: the image
    # begins in row p and column p
dX = X[:, :0, :0]  # It is empty: P[p : -p] is P[0 : 0] without padding; write P[p : p + h]
"""

BATCH_NORM = """
m = X.mean(axis=0, keepdims=True)
v = ((X - m) ** 2).mean(axis=0, keepdims=True)
s = np.sqrt(v + eps)
n = (X - m) / s
dgamma_ = (dY * n).sum(axis=0, keepdims=True)
dbeta_ = dY.sum(axis=0, keepdims=True)
dn = gamma * dY
u = np.sqrt(v * B / (B - 1) + eps)
nu = (X - m) / u
dX = gamma / s * dY  # The statistics are taken as constants: m and v depend on X, too
dX = gamma / s * (dY - dbeta_ - n * dgamma_)  # 1/N is missing: m and v are means over the N = B
    # rows
dX = gamma / s * (dY - dbeta_ / B)  # The path through v is missing
dX = gamma / s * (dY - n * dgamma_ / B)  # The path through m is missing
dX = gamma / s * (dY - dbeta_ / B - dgamma_ / B)  # The path through v lacks n: (x - m) / s is
    # different in each row
dX = gamma / s * (dY - (dbeta_ + n * dgamma_) / (B - 1))  # The variance here is the biased one:
    # a mean over N rows, not N - 1
dX = gamma / u * (dY - dbeta_ / B - nu * (dY * nu).sum(axis=0, keepdims=True) / B)
dX = gamma / u * (dY - dbeta_ / B - nu * (dY * nu).sum(axis=0, keepdims=True) / (B - 1))
dgamma = (dY * nu).sum(axis=0, keepdims=True)
dX = (dY - dbeta_ / B - n * dgamma_ / B) / s  # gamma is forgotten: Y = gamma n + beta
dX = gamma * (dY - dbeta_ / B - n * dgamma_ / B)  # The spread is forgotten: n was divided by
    # sqrt(v + eps)
dX = gamma / (v + eps) * (dY - dbeta_ / B - n * dgamma_ / B)  # The square root is forgotten: n was
    # divided by sqrt(v + eps)
dX = gamma / np.sqrt(v) * (dY - dbeta_ / B - n * dgamma_ / B)  # eps is forgotten: n was divided by
    # sqrt(v + eps)
dX = gamma / s * (dn - dn.mean(axis=0) - n * (dn * n).mean(axis=0))  # gamma is there twice
dX = gamma / s * (dY - dbeta_ / B + n * dgamma_ / B)  # The sign of the path through v is wrong
dX = gamma / s * (dY + dbeta_ / B - n * dgamma_ / B)  # The sign of the path through m is wrong
dgamma = (dY * X).sum(axis=0, keepdims=True)  # gamma was multiplied by n, the normalised X
dgamma = (dY * (X - m)).sum(axis=0, keepdims=True)
dgamma = (dY * n).mean(axis=0, keepdims=True)  # That is a mean. The loss has put its 1/N into dY
    # already; here the rows are only summed
dbeta = dY.mean(axis=0, keepdims=True)
dbeta = gamma * dbeta_  # beta was added after gamma: no gamma here
dgamma = gamma * dgamma_  # gamma's own value is not in its derivative
"""

GRADIENT_PENALTY = """
n = np.sqrt((G**2).sum(axis=1, keepdims=True))
V = G / B  # V lacks the 2 of the square's derivative
V = 2 * G  # V lacks 1/B: P is a mean over the rows
V = 2 * G / G.size  # P is a mean over the B rows, not over all B in entries of G
V = G / n / B  # That is the gradient of the mean norm; P is the mean of its square
V = 2 * (n - 1) * G / n / B  # That is the gradient of (||g|| - 1)^2; here P is the mean of ||g||^2
V = G  # V is G itself, but it should be the gradient of P by G
U_H = U_Z  # The tangent has not been multiplied by the slope of tanh, 1 - H^2
U_H = U_Z * bend  # A tangent is multiplied by the slope of tanh, 1 - H^2; the second derivative
    # belongs in the curvature
U_H = H  # The gradient does not go through the tangents: dW2 is made from U_H, as that of y is
    # made from H
U_H = H * U_Z * slope  # H is no factor of <V, G>: the tangent of Y is U_H W2
U_H = 0 * H  # The gradient does not go through the tangents: <V, G> is the tangent of Y, U_H W2
dW1 = V.T @ E_Z  # The curvature is forgotten: the slope 1 - H^2 depends on Z, so X, W1 and b1 act
    # on the penalty through it, too
dW1 = X.T @ C  # The gradient does not go through the tangents: U_Z = V W1 depends on W1, which
    # adds V^T E_Z
dW1 = X.T @ E_Z + X.T @ C  # The input of the tangents is V, not X: the first term is V^T E_Z
dW1 = V.T @ E_H + X.T @ C  # The first term needs the gradient by Z, which is E_Z, not E_H
dW1 = V.T @ E_Z + V.T @ C  # The curvature is a gradient by Z, and Z = X W1 + b1: the second term
    # is X^T C
db1 = E_Z.sum(axis=0, keepdims=True)  # b1 is not in the tangents, U_Z = V W1: it acts through the
    # curvature alone
db1 = (E_Z + C).sum(axis=0, keepdims=True)
C = 0 * H  # The curvature is forgotten: the slope 1 - H^2 depends on Z, so X, W1 and b1 act on the
    # penalty through it, too
C = E_H * U_Z * bend / 2  # C lacks the 2 of the derivative of H^2
C = -E_H * U_Z * bend  # The sign of C is wrong: the derivative of 1 - H^2 is -2 H (1 - H^2)
C = E_H * U_Z * -2 * H  # C lacks a factor 1 - H^2: H itself depends on Z
C = E_H * U_Z * slope  # That has the slope of tanh in it; the curvature has its second derivative,
    # -2 H (1 - H^2)
C = E_H * U_H * bend  # C has the slope 1 - H^2 once too often: it takes U_Z, the tangent of Z, and
    # E_H, the gradient by H
C = U_Z * bend  # C lacks the factor E_H
C = E_H * bend  # C lacks the factor U_Z: without V nothing moves
C = E_H * U_Z * bend / B  # C is divided by B: the 1/B is in V already
db1 = C.mean(axis=0, keepdims=True)  # That is a mean of rows; a layer only sums
"""

MEAN_SQUARED_ERROR = """
dY = 2 * (Y - t) / B  # The mean runs over all N = B O entries, not over B rows
dY = 2 * (Y - t)  # 1/N is missing: the loss is a mean over all entries
dY = (Y - t) / N  # The 2 of the square's derivative is missing
dY = (Y - t) ** 2 / N  # That is the loss's own term; its derivative is 2 (Y - t)
dY = 2 * (t - Y) / N  # The sign is wrong: the loss grows where Y is above t
"""

BCE = """
dP = (P - t) / N  # The denominator P (1 - P) is missing: it cancels for logits only
dP = (P - t) / (P * (1 - P))  # 1/N is missing: the loss is a mean over all entries
dP = (P - t) / (P * (1 - P)) / B  # The mean runs over all N = B O entries
dP = -t / P / N  # The term (1 - t) log(1 - P) depends on P, too
dP = (-t / P - (1 - t) / (1 - P)) / N  # The derivative of log(1 - P) is -1 / (1 - P): one more sign
dP = (P - t) * P * (1 - P) / N  # P (1 - P) belongs in the denominator
"""

BCE_WITH_LOGITS = """
P = 1 / (1 + np.exp(-logits))
dlogits = (logits - t) / N  # The sigmoid is forgotten: probabilities are compared with targets
dlogits = P - t  # 1/N is missing: the loss is a mean over all entries
dlogits = (P - t) / B  # The mean runs over all N = B O entries
dlogits = (P - t) * P * (1 - P) / N  # The sigmoid's slope should cancel against BCE's denominator
dlogits = (P - t) / (P * (1 - P)) / N  # That is dP: multiply it by the sigmoid's slope P (1 - P)
dlogits = (t - P) / N  # The sign is wrong: the loss grows where sigmoid(logits) is above t
"""

SOFTMAX_CROSS_ENTROPY = """
onehot = np.eye(K)[labels]
E = np.exp(logits)
P = E / E.sum(axis=1, keepdims=True)
dlogits = P - onehot  # 1/B is missing: the loss is a mean over the rows
dlogits = (P - onehot) / (B * K)  # The mean runs over the B rows, not over all B K entries
dlogits = P / B  # The term -logits[label] is forgotten: subtract 1 at each row's label
dlogits = (onehot - P) / B  # The sign is wrong: the loss falls as the label's logit grows
dlogits = (E / E.sum(axis=0) - onehot) / B  # The softmax runs along the wrong axis
dlogits = (E / E.sum() - onehot) / B  # The softmax runs over all entries: each row adds up to 1
dlogits = (P - labels[:, None]) / B  # Labels are class numbers: subtract 1 in that column only
dlogits = (E - onehot) / B  # The exponentials must be divided by their sum: each row adds up to 1
dlogits = (logits - onehot) / B  # The softmax is forgotten: probabilities are compared with labels
"""

NETWORK = """
dH = dlogits @ W2.T
slope = np.where(H > 0, 1, H + 1)
sigmoid = 1 / (1 + np.exp(-logits))
dlogits = B * dlogits  # dlogits lacks its 1/B, and everything after it is B times too large
dA = dH  # ELU's slope is forgotten: dA is dH times the slope
dA = dH * slope / B  # dH is divided by B: the 1/B is in dlogits already
dW1 = X.T @ dH  # It is computed from dH: the first layer's dY is dA
db1 = dH.sum(axis=0, keepdims=True)
dW1 = H.T @ dH  # The first layer's input is X, not H
dW1 = H.T @ (dH * slope)
dA = dH * (H > 0)  # That is ReLU's slope: below zero ELU's is e^A = H + 1
dA = dH * np.where(H > 0, 1, np.exp(H))  # The exponential is of H: e^A is wanted, and that is H + 1
dA = slope  # That is ELU's slope alone: the chain rule multiplies it by dH
dA = dH * H  # dH is multiplied by H; ELU's slope is 1, or H + 1 below zero
dA = dH * (H + 1)  # Where H > 0 ELU's slope is 1
dA = dlogits * slope  # dH = dlogits W2^T: W2 is missing
db1 = (dH * slope).mean(axis=0, keepdims=True)  # That is a mean of rows; a layer only sums
db2 = dlogits.mean(axis=0, keepdims=True)
dlogits = (logits - t) / B  # dlogits lacks the sigmoid: probabilities are compared with targets
dlogits = sigmoid / B  # dlogits lacks the targets: they are subtracted
dW2 = X.T @ dlogits  # The second layer's input is H, not X
"""

#: `play` plays a step with one thing wrong.
GAN_STEP = """
D = play(d_factor=0.5)  # D's loss is the sum of two means, each over B samples: 1/B, not 1/(2 B)
D = play(d_factor=B)  # 1/B is missing: each of D's two losses is a mean over B samples
D = play(d_targets=1 - targets)  # The targets are swapped: real samples come first, with target 1
D = play(d_targets=1.0)  # The target of generated samples is 0
G = play(g_target=0.0)  # G wants D to output 1 for its samples, not 0
G = play(g_factor=-1.0)  # The sign is wrong: G's loss falls as D's output rises
G = play(g_target=0.0, g_factor=-1.0)  # That is the minimax game, the gradient of
    # -BCE(D(fake), 0), which vanishes when D is sure
G = play(g_factor=B)  # 1/B is missing: G's loss is a mean over B samples
G = play(d_moves=False)  # That is D's gradient before its update; G learns from D after it
D = still  # D has not moved: its optimizer's step() was not called, or all gradients were 0
G = still  # G has not moved: its optimizer's step() was not called, or all gradients were 0
"""

PROJECTION = """
each = dY * X
dV = last_of_each_class(each)  # Only the last sample of each class counts: dV[labels] += does not
    # add up equal labels. Use np.add.at, or a product with the one-hot labels
dV = onehot.T @ X  # dY is forgotten: the chain rule multiplies each row of X by it
dV = onehot.T @ (dY + 0 * X)  # X is forgotten: v_j was multiplied by each x of its class
dV = 0 * V + each.sum(axis=0)  # That is the sum over all samples: v_j occurs in those of class j
dV = onehot.T @ each / B  # It is divided by B. The loss has put the 1/N of the mean into dY
    # already; a layer only sums
dw = X.T @ dY / B
db = dY.mean(axis=0, keepdims=True)
dX = (dY @ w.T + dY * V[labels]) / B
dV = onehot.T @ each / np.maximum(onehot.sum(axis=0)[:, None], 1)  # That is the mean over the
    # samples of each class; a layer only sums
dX = dY @ w.T  # The projection is forgotten: x occurs in x . v_j, too
dX = dY * V[labels]  # w is forgotten: x occurs in x . w, too
dX = w.T + V[labels]  # dY is forgotten: the chain rule multiplies each row by it
dX = dY @ w.T + dY * V.sum(axis=0)  # That has the v of every class: x meets that of its own alone
dX = dY @ w.T - dY * V[labels]  # The sign of the projection is wrong: it is added in forward
"""

#: L and M are the right dlogits and dmeans.
TWO_HEADS = """
logits = guess[:, :K]
P = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
again = np.exp(P) / np.exp(P).sum(axis=1, keepdims=True)
columns = np.exp(logits) / np.exp(logits).sum(axis=0)
L = (P - category) / B
M = (guess[:, K:] - code) / (B * std**2)
sigmoid = 1 / (1 + np.exp(-y))
of_head = sigmoid / B @ W2.T
of_Q = np.hstack([L, M]) @ W3.T
right = (of_head + of_Q) * (1 - H**2)
dy = sigmoid  # dy lacks its 1/B: D's loss is a mean over B samples
dy = (sigmoid - 1) / B  # That is for target 1: these samples are generated, so their target is 0
dy = y / B  # dy lacks the sigmoid, the derivative of log(1 + e^y)
dguess = -np.hstack([L, M])  # The sign of the term is wrong: the loss falls if Q guesses better
dguess = np.hstack([-L, M])  # The sign of dlogits is wrong: the loss falls as the category's logit
    # grows
dguess = np.hstack([L, -M])  # The sign of dmeans is wrong: the loss grows where a mean is above its
    # code
dguess = np.hstack([P / B, M])  # The category is forgotten: subtract 1 at the right one
dguess = np.hstack([(logits - category) / B, M])  # The softmax is forgotten: probabilities are
    # compared with the category
dguess = np.hstack([(again - category) / B, M])  # The softmax is taken twice: it is taken of the
    # logits, once
dguess = np.hstack([(columns - category) / B, M])  # The softmax runs along the wrong axis
dguess = np.hstack([B * L, M])  # dlogits lacks its 1/B: the term is a mean over B samples
dguess = np.hstack([L / K, M])  # The mean runs over the B rows, not over all B K logits
dguess = np.hstack([L, B * M])  # dmeans lacks its 1/B: the term is a mean over B samples
dguess = np.hstack([B * L, B * M])  # dlogits and dmeans lack their 1/B: the term is a mean over B
    # samples
dguess = np.hstack([L, std**2 * M])  # dmeans lacks 1/std^2
dguess = np.hstack([L, std * M])  # dmeans is divided by std; in the loss std is squared
dguess = np.hstack([L, 2 * M])  # dmeans has a factor 2 too many: the 2 of the square's derivative
    # cancels against the 1/2
dguess = np.hstack([L, M / 2])  # dmeans is half of what it should be: the 2 of the square's
    # derivative cancels against the 1/2
dguess = np.hstack([L, M / m])  # The codes of a row are summed: the mean runs over the rows alone
dH = of_Q  # The gradient of D's head is lost: both heads read H, so their gradients add up
dH = of_head  # The gradient of Q is lost: both heads read H, so their gradients add up
dH = of_head - of_Q  # Q's gradient is subtracted: the trunk lowers the sum of both losses
dH = (of_head + of_Q) / 2  # That is the mean of both gradients: they add up
dH = np.hstack([L, 0 * M]) @ W3.T + of_head  # The means are forgotten: all columns of dguess go
    # through W3
dH = np.hstack([0 * L, M]) @ W3.T + of_head  # The logits are forgotten: all columns of dguess go
    # through W3
dA = of_head + of_Q  # The slope of tanh is forgotten: dA = dH (1 - H^2)
dA = (of_head + of_Q) * (1 - np.tanh(H) ** 2)  # H is the output already: tanh must not be taken
    # again
dA = right / B  # It is divided by B once more: the 1/B is in dy and dguess already
db1 = right.mean(axis=0, keepdims=True)  # That is a mean of rows; a layer only sums
dW1 = X.T @ (of_head + of_Q)  # It is computed from dH: the first layer's dY is dA
dW3 = H.T @ np.hstack([L, M]) / B  # It is divided by B: the 1/B is in dguess already
"""
