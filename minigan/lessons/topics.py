"""What can be explained: every layer, loss and optimizer, with its derivation in brief.

Formulas are not repeated here: they are in the docstrings of the code that is explained. The full
derivations are in the book (docs/).
"""

from __future__ import annotations

import itertools
import re

import minigan
import minigan.nn as nn
from minigan.backend import Array
from minigan.errors import ConfigError
from minigan.lessons.explanation import LayerTopic, LossTopic, OptimizerTopic, Topic
from minigan.lessons.lookup import find
from minigan.text import wrapped


def _sgd(p: Array, state: dict[str, Array], g: Array, step: int) -> Array:
    state["velocity"] = 0.9 * state.get("velocity", 0.0) + g
    return p - 0.1 * state["velocity"]


def _rmsprop(p: Array, state: dict[str, Array], g: Array, step: int) -> Array:
    state["v"] = 0.9 * state.get("v", 0.0) + (1 - 0.9) * g**2
    return p - 0.1 * g / (state["v"] ** 0.5 + 1e-8)


def _adam(p: Array, state: dict[str, Array], g: Array, step: int) -> Array:
    state["m"] = 0.5 * state.get("m", 0.0) + (1 - 0.5) * g
    state["v"] = 0.9 * state.get("v", 0.0) + (1 - 0.9) * g**2
    m_hat = state["m"] / (1 - 0.5**step)
    v_hat = state["v"] / (1 - 0.9**step)
    return p - 0.1 * m_hat / (v_hat**0.5 + 1e-8)


ELEMENTWISE = """\
Y[i, j] depends on X[i, j] alone, so of the chain rule's sum one term is left:
    dX[i, j] = dY[i, j] f'(X[i, j])
"""

#: What makes the windows of images, and its adjoint.
WINDOWS = ("_windows", "_gather", "_by_scattering", "_by_phases")

TOPICS: tuple[Topic, ...] = (
    LayerTopic(
        nn.Linear(2, 3),
        features=2,
        aliases=("dense", "fully connected", "fc", "affine"),
        page="layers/linear",
        derivation="""\
L depends on W[k, l] through every Y[i, j] in which W[k, l] occurs. In Y[i, j] =
sum_m X[i, m] W[m, j] + b[j] it occurs if j = l, with factor X[i, k]. So
    dW[k, l] = sum_i X[i, k] dY[i, l]     that is  X^T dY
b[l] occurs in column l of every row, with factor 1: what was broadcast is
summed.
    db[l]    = sum_i dY[i, l]             the sum of the rows of dY
X[k, l] occurs in every Y[k, j], with factor W[l, j]:
    dX[k, l] = sum_j dY[k, j] W[l, j]     that is  dY W^T""",
    ),
    LayerTopic(
        nn.ReLU(),
        page="layers/relu",
        derivation=ELEMENTWISE
        + """\
f(x) = max(x, 0) has the slope 1 above zero and 0 below. Y > 0 exactly where X >
0, so the output alone shows which. At x = 0 there is no derivative; 0 is as
good as any.""",
    ),
    LayerTopic(
        nn.LeakyReLU(0.2),
        aliases=("lrelu",),
        page="layers/leaky_relu",
        derivation=ELEMENTWISE
        + """\
f has the slope 1 above zero and `slope` below. A factor > 0 keeps signs: Y > 0
exactly where X > 0, so the output shows which slope it was.""",
    ),
    LayerTopic(
        nn.ELU(),
        page="layers/elu",
        derivation=ELEMENTWISE
        + """\
Above zero f(x) = x has the slope 1. Below, f(x) = alpha (e^x - 1) has the slope
alpha e^x: the exponential that forward has taken anyway, so forward keeps it.
(It equals y + alpha too, but that difference loses its digits where y is near
-alpha.)""",
    ),
    LayerTopic(
        nn.Sigmoid(),
        aliases=("logistic",),
        page="layers/sigmoid",
        derivation=ELEMENTWISE
        + """\
f(x) = 1 / (1 + e^-x). By the chain rule f'(x) = e^-x / (1 + e^-x)^2
     = [1 / (1 + e^-x)] [e^-x / (1 + e^-x)] = y (1 - y),
since e^-x / (1 + e^-x) = 1 - y. The output alone gives the slope, which is at
most 1/4.""",
    ),
    LayerTopic(
        nn.Tanh(),
        page="layers/tanh",
        derivation=ELEMENTWISE
        + """\
f(x) = sinh x / cosh x, sinh' = cosh and cosh' = sinh. By the quotient rule
f'(x) = (cosh^2 x - sinh^2 x) / cosh^2 x = 1 - y^2.""",
    ),
    LayerTopic(
        nn.Dropout(0.5),
        page="layers/dropout",
        derivation=ELEMENTWISE
        + """\
For the mask that was drawn, f multiplies by mask[i, j], a constant: 0, or 1 /
(1 - rate). So f' is the mask itself, and backward must use the mask of its
forward, not a new one. The mean of the mask is (1 - rate) / (1 - rate) = 1:
evaluation needs no correction.""",
    ),
    LayerTopic(
        nn.Pack(2),
        features=2,
        aliases=("packing", "PacGAN"),
        page="layers/pack",
        derivation="""\
A pack x_1 ... x_m is laid side by side, followed by (x_1 - c)^2 ... (x_m - c)^2
with c the pack's mean, taken as a constant. x_i occurs in two places of the
output: at place i with slope 1, and at place m + i with slope 2 (x_i - c).
Contributions add up:
    dx_i = dy_i + 2 (x_i - c) dy_(m+i)""",
    ),
    LayerTopic(
        nn.Conv2d(1, 1, kernel=3, size=(3, 4)),
        rows=1,
        features=12,
        aliases=("convolution", "conv"),
        helpers=WINDOWS,
        page="layers/conv2d",
        derivation="""\
An image of 3 x 4 pixels with a border of zeros, and a kernel of 3 x 3 that
moves by 2 pixels. It has 2 x 2 places, and covers a window in each:
    0 0 0 0 0 0    0 0 0 . . .   . . 0 0 0 .   . . . . . .   . . . . . .
    0 a b c d 0    0 a b . . .   . . b c d .   . . . . . .   . . . . . .
    0 e f g h 0    0 e f . . .   . . f g h .   0 e f . . .   . . f g h .
    0 i j k l 0    . . . . . .   . . . . . .   0 i j . . .   . . j k l .
    0 0 0 0 0 0    . . . . . .   . . . . . .   0 0 0 . . .   . . 0 0 0 .
Each window is a row of windows(X); the first is 0 0 0 0 a b 0 e f. The rest is
as in Linear: Y = windows(X) W + b, so
    dW = windows(X)^T dY
    db = sum of dY over images and places
and the gradient of the windows is dY W^T. A pixel was copied into each window
that covers it, so its gradient is a sum: over four windows for f, two for b.
    dX = windows^T(dY W^T)
windows^T adds each number of a window to its pixel, and drops the border's.""",
    ),
    LayerTopic(
        nn.ConvTranspose2d(1, 1, kernel=3, size=(2, 2), output_padding=(0, 1)),
        rows=1,
        features=4,
        aliases=("transposed convolution", "deconvolution", "deconv"),
        helpers=WINDOWS,
        page="layers/conv_transpose2d",
        derivation="""\
Each pixel of X multiplies the whole kernel of 3 x 3. The results are put into
the output 2 pixels apart. Where they overlap they add up:
    X = p q    put into Y, 3 x 4:    p    p+q      q    q
        r s                          p+r  p+q+r+s  q+s  q+s
                                     r    r+s      s    s
That is windows^T of `minigan explain Conv2d`: Y = windows^T(X W^T) + b. Adding
and copying are adjoint, <windows^T(A), B> = <A, windows(B)>, so
    sum(Y dY) = <X W^T, windows(dY)> + ...
              = sum over r, c and k of X[r, c] W[k, c] windows(dY)[r, k] + ...
for the pixels r and channels c of X and the numbers k of a window. Derivatives:
    dX[r, c] = sum_k windows(dY)[r, k] W[k, c]     that is  windows(dY) W
    dW[k, c] = sum_r windows(dY)[r, k] X[r, c]     that is  windows(dY)^T X
    db       = sum of dY over images and pixels
Forward is a convolution's dX, and dX is a convolution's forward.""",
    ),
    LayerTopic(
        nn.BatchNorm(2),
        features=2,
        parameters=(1.5, -0.5, 0.3, -1.0),  # gamma, beta
        aliases=("batch normalisation", "batch normalization", "BatchNorm1d", "BatchNorm2d", "bn"),
        page="layers/batch_norm",
        derivation="""\
One channel, with s = sqrt(v + eps). A number x reaches the loss on three paths:
    x --------> x - m --------> n = (x - m) / s --> y = gamma n + beta
      \\        /      \\        /
       '-> m -'        '-> v -'       m = mean of x,  v = mean of (x - m)^2
gamma and beta occur in every row: dgamma = sum of dy n, dbeta = sum of dy.
Let dn = gamma dy. Through v, whose slope in x is 2 (x - m) / N = 2 s n / N:
    dv = sum of dn (x - m) (-1/2) / s^3 = -sum of dn n / (2 s^2)
Through m: v does not change with m, since the numbers x - m add up to 0, so
    dm = -sum of dn / s        of which each x gets 1/N
All three:
    dx = dn / s + dm / N + dv 2 s n / N
       = (dn - mean of dn - n mean of (dn n)) / s
       = gamma / s (dy - dbeta / N - n dgamma / N)
In evaluation m and v are the running statistics, which are constants. Only the
direct path is left: dx = gamma / s dy.""",
    ),
    LayerTopic(
        nn.LayerNorm(3),
        features=3,
        parameters=(1.5, -0.5, 0.8, 0.3, -1.0, 0.2),  # gamma, beta
        aliases=("layer normalisation", "layer normalization", "GroupNorm", "ln"),
        page="layers/layer_norm",
        derivation="""\
One row of F numbers, with s = sqrt(v + eps). A number x reaches the loss on the
three paths of `minigan explain BatchNorm`, now within its row:
    x --------> x - m --------> n = (x - m) / s --> y = gamma n + beta
      \\        /      \\        /
       '-> m -'        '-> v -'       m = mean of x,  v = mean of (x - m)^2
gamma and beta occur in every row: dgamma = sum of dy n, dbeta = sum of dy. They
differ within a row, so a = gamma dy is the gradient of n. Through v and m:
    dv = -sum of a n / (2 s^2)      of which each x gets 2 s n / F
    dm = -sum of a / s              of which each x gets 1/F
All three:
    dx = (a - mean of a - n mean of (a n)) / s
No other row occurs in this, and evaluation is the same as training.""",
    ),
    LayerTopic(
        nn.Upsample2d(1, size=(2, 2)),
        rows=1,
        features=4,
        aliases=("upsampling", "nearest neighbour", "nearest neighbor"),
        page="layers/upsample2d",
        derivation="""\
Each pixel is copied to a block, here of 2 x 2 pixels:
    X = a b    Y = a a b b
        c d        a a b b
                   c c d d
                   c c d d
X[i, j] occurs in every pixel of its block, each time with factor 1. So dX[i, j]
is the sum of dY over the block.""",
    ),
    LossTopic(
        nn.bce,
        ("P", "t"),
        aliases=("binary cross-entropy", "BCELoss"),
        page="losses/bce",
        derivation="""\
One term: l(p) = -(t log p + (1 - t) log(1 - p)).
    l'(p) = -t / p + (1 - t) / (1 - p) = (-t (1 - p) + (1 - t) p) / (p (1 - p))
          = (p - t) / (p (1 - p))
The mean of N terms holds each with the factor 1/N.""",
    ),
    LossTopic(
        nn.bce_with_logits,
        ("logits", "t"),
        aliases=("logits", "BCEWithLogitsLoss"),
        page="losses/bce_with_logits",
        derivation="""\
With p = sigmoid(x) the chain rule gives l'(p) p (1 - p), and the denominator of
BCE cancels:
    dl/dx = (p - t) / (p (1 - p)) * p (1 - p) = p - t
The value: -log p = log(1 + e^-x) and -log(1 - p) = x + log(1 + e^-x), so
    l = (1 - t) x + log(1 + e^-x) = max(x, 0) - x t + log(1 + e^-|x|),
which never takes the exponential of a positive number.
The mean of N terms holds each with the factor 1/N.""",
    ),
    LossTopic(
        nn.mean_squared_error,
        ("Y", "t"),
        aliases=("mse", "squared error", "MSELoss"),
        page="losses/mean_squared_error",
        derivation="""\
One term: (y - t)^2 has the derivative 2 (y - t). The mean of N terms holds each
with the factor 1/N.""",
    ),
    LossTopic(
        nn.softmax_cross_entropy,
        ("logits", "labels"),
        shape=(3, 4),
        aliases=("softmax", "cross-entropy", "CrossEntropyLoss"),
        page="losses/softmax_cross_entropy",
        derivation="""\
One row: l = log(sum_k e^(x_k)) - x_label. The first term's derivative by x_j is
    e^(x_j) / sum_k e^(x_k) = softmax(x)_j,
the second's is -1 at the label and 0 elsewhere. So dl/dx = softmax(x) - onehot,
whose entries add up to 0. The mean of B rows holds each with the factor 1/B.""",
    ),
    OptimizerTopic(
        nn.SGD,
        {"lr": 0.1, "momentum": 0.9},
        _sgd,
        aliases=("gradient descent", "momentum"),
        page="optimizers/sgd",
        derivation="""\
Near p the loss is L(p + s) = L(p) + g . s, and falls fastest for s along -g
(Cauchy and Schwarz): s = -lr g. Momentum adds up the gradients, each weighed by
momentum^(its age); under a constant g the velocity tends to g / (1 - momentum).""",
    ),
    OptimizerTopic(
        nn.RMSprop,
        {"lr": 0.1, "alpha": 0.9, "eps": 1e-8},
        _rmsprop,
        page="optimizers/rmsprop",
        derivation="""\
Unrolled, v_t = (1 - alpha) sum_i alpha^(t - i) g_i^2: a mean of recent squares,
whose root is the usual size of g. Divided by it, a step is about lr, whatever
the loss is multiplied by. v starts at 0, so under a constant g it is too small
by the factor 1 - alpha^t, and the first step is lr / sqrt(1 - alpha). Adam with
beta1 = 0 corrects that.""",
    ),
    OptimizerTopic(
        nn.Adam,
        {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-8},
        _adam,
        helpers=("_adam_scalars",),
        page="optimizers/adam",
        derivation="""\
Unrolled, m_t = (1 - beta1) sum_i beta1^(t - i) g_i. If all g_i had the mean g,
that is
    g (1 - beta1) (1 + beta1 + ... + beta1^(t-1)) = g (1 - beta1^t):
too small by the factor 1 - beta1^t, by which it is divided. v_t likewise, with
g^2. Scaling all gradients scales m^ and sqrt(v^) alike: the step is about lr,
whatever the loss.""",
    ),
)


def find_topic(name: str) -> Topic:
    """The topic of that name or alias.

    Raises:
        ConfigError: there is none; the message suggests the nearest one, or where to read about
            another part of minigan.
    """
    if name in minigan.__all__ and name not in {topic.name for topic in TOPICS}:
        raise ConfigError(f"there are no live numbers of {name}; read help(minigan.{name})")
    known = {word: topic for topic in TOPICS for word in (topic.name, *topic.aliases)}
    return find(name, known, "topic", "minigan explain")


def list_topics() -> str:
    """What each topic is, without its sources, below the name of its group."""
    parts = []
    for group, topics in itertools.groupby(TOPICS, lambda topic: topic.group):
        lines = [group]
        for topic in topics:
            short = re.sub(r" \([^()]* [12]\d{3}[^()]*\)|, and its gradient", "", topic.summary)
            lines.append(wrapped(f"  {topic.name:<23}{short}", 25))
        parts.append("\n".join(lines))
    return "\n\n".join(parts)
