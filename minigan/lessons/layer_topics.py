"""The layers that can be explained, each with its derivation in brief."""

from __future__ import annotations

import minigan.nn as nn
from minigan.lessons.explanation import LayerTopic, Topic

ELEMENTWISE = """\
Y[i, j] depends on X[i, j] alone, so of the chain rule's sum one term is left:
    dX[i, j] = dY[i, j] f'(X[i, j])
"""

#: What makes the windows of images, and its adjoint.
WINDOWS = ("_windows", "_gather", "_by_scattering", "_by_phases")

LAYERS: tuple[Topic, ...] = (
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
    LayerTopic(
        nn.AppendCondition(2, 3),
        features=2,
        aliases=("append", "concatenation", "one-hot"),
        page="layers/append_condition",
        derivation="""\
A row of Y is a row of X followed by its condition. X[i, j] occurs once in Y, in
the same place, with factor 1. So dX is the part of dY that belongs to x. The
condition is a constant, which needs no gradient.
With a Linear layer after it,
    [x, c] W = x W_x + c W_c
W_c has a row for each class, and a one-hot c picks one. So appending a label
gives each class a bias of its own.""",
    ),
    LayerTopic(
        nn.AppendChannels(1, 2, size=(2, 2)),
        rows=3,
        features=4,
        aliases=("constant channels", "channels"),
        page="layers/append_condition",
        derivation="""\
Each number of the condition becomes a channel, which has this value in all
pixels of the image. The channels of a pixel lie next to each other:
    X = a b    condition = s t    Y = a s t  b s t
        c d                           c s t  d s t
Every pixel's row has grown, so X is copied. A number of X occurs once in Y,
with factor 1: dX is its channel of dY.""",
    ),
    LayerTopic(
        nn.Embedding(2, 3, 2),
        features=2,
        aliases=("embed", "label embedding"),
        page="layers/embedding",
        derivation="""\
What is appended is a product, A = c E. That is a Linear layer without a bias,
whose input is the condition. So
    dE = C^T dA,    dA the columns of dY that belong to A
A one-hot c picks the row of its class, so dE[j] is the sum of dA over the rows
of class j. A class that is not in the batch gets 0. dX is the rest of dY.""",
    ),
    LayerTopic(
        nn.Projection(2, 3),
        features=2,
        aliases=("projection discriminator", "Miyato"),
        page="layers/projection",
        derivation="""\
A sample of class j has y = x (w + v_j) + b: a Linear layer whose weight depends
on the class. w and b occur in every row, v_j in those of class j. Let W have
the columns w, v_1 ... v_k, and let m = [1, c] say which of them a row uses:
    y_i = sum over l and k of X[i, l] W[l, k] m[i, k], + b
    dW[l, k] = sum_i X[i, l] dy_i m[i, k]     that is  X^T (dY m)
    db       = sum_i dy_i
    dX[i, l] = sum_k dy_i m[i, k] W[l, k]     that is  (dY m) W^T""",
    ),
)
