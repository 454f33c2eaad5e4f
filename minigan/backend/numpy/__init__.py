"""The reference backend: every kernel in plain NumPy, written to be read.

This package is the backend: it exports the functions of `minigan.backend.base.Backend`, and nothing
else. Each function gives its formula in the first line of its docstring. Its subjects are files:

    memory        arrays in and out
    algebra       sums and products of matrices
    images        batches out of a data set, and the repetition of pixels
    convolution   as a matrix product, with its two gradients
    normalisation of batches
    layer_norm    normalisation of each row
    activations   with dropout and packing, each next to its backward
    losses        with their gradients, and the record of a run's losses
    optimizers    over flat buffers
    fills         random numbers
    masks         of dropout
    recording     `capture`: a step recorded and replayed
    pool          memory for temporaries
    pixels        rows of features as rows of pixels

Four habits make the kernels fast, each measured in docs/performance.md:

* Temporaries come from a pool that remembers the shapes it has served, so a training step that has
  run once allocates nothing that grows with the batch.
* A minimum or maximum is taken against an array of constants (`pool.full`): NumPy vectorises that,
  but not a minimum of an array and a number.
* Only `exp`, `log`, `tanh` and arithmetic are vectorised in float32 everywhere, so formulas are
  written in those.
* A step can be recorded once and replayed. So kernels compute with `recording.np`, and one that
  decides, or reads a number from an array, is marked `@live`.
"""

from minigan.backend.numpy.activations import (
    dropout,
    dropout_backward,
    elu,
    elu_backward,
    elu_curvature,
    leaky_relu,
    leaky_relu_backward,
    pack_deviations,
    pack_deviations_backward,
    pack_mean,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    sigmoid_curvature,
    tanh,
    tanh_backward,
    tanh_curvature,
)
from minigan.backend.numpy.algebra import (
    add,
    add_rows,
    matmul,
    mean,
    multiply,
    multiply_rows,
    negate,
    scale,
    sum_rows,
)
from minigan.backend.numpy.convolution import (
    convolve,
    convolve_input_gradient,
    convolve_weight_gradient,
)
from minigan.backend.numpy.fills import (
    fill_mixture,
    fill_normal,
    fill_permutation,
    fill_stratified,
    fill_uniform,
)
from minigan.backend.numpy.images import (
    move_images,
    take_pixels,
    take_rows,
    upsample,
    upsample_backward,
)
from minigan.backend.numpy.layer_norm import (
    normalise_rows,
    normalise_rows_backward,
    normalise_rows_curvature,
)
from minigan.backend.numpy.losses import (
    bce_gradient,
    bce_loss,
    bce_with_logits_gradient,
    bce_with_logits_loss,
    hinge_gradient,
    hinge_loss,
    mean_squared_error_gradient,
    mean_squared_error_loss,
    record_finite,
    record_losses,
    softmax_cross_entropy_gradient,
    softmax_cross_entropy_loss,
)
from minigan.backend.numpy.masks import fill_dropout_mask
from minigan.backend.numpy.memory import asarray, copy, empty, fill, from_host, to_host, zeros
from minigan.backend.numpy.normalisation import (
    batch_statistics,
    normalise,
    normalise_backward,
    normalise_gradients,
)
from minigan.backend.numpy.optimizers import adam, clip, moving_average, rmsprop, sgd, tick
from minigan.backend.numpy.penalties import interpolate, norm_gradient, row_norms
from minigan.backend.numpy.recording import capture
