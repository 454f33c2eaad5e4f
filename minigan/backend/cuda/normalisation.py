"""Batch normalisation: statistics over all rows and pixels, for each channel.

The formulas are those of `minigan.backend.numpy.normalisation`. Sums are taken over the
images first, and then over the places in them: see `scaled_sum_of_rows`.
"""

from __future__ import annotations

from minigan.backend.base import Array
from minigan.backend.cuda import layout
from minigan.backend.cuda.algebra import SUMMING, scaled_sum_of_rows, sum_rows
from minigan.backend.cuda.elementwise import for_each_number
from minigan.backend.cuda.launching import launch
from minigan.backend.cuda.memory import scratch
from minigan.backend.cuda.pixels import pixels
from minigan.errors import ShapeError


def batch_statistics(X: Array, mean: Array, variance: Array) -> None:
    """mean (1, c) = sum of x / N,   variance (1, c) = sum of (x - mean)^2 / N, of X (B, n c)"""
    _check("batch_statistics", X, mean, variance)
    N = X.shape[-2] * X.shape[-1] // mean.shape[-1]
    scaled_sum_of_rows(X, 1.0 / N, mean)
    _sum_of_terms("sum_squared_deviations", X, mean, 1.0 / N, variance)


def normalise(
    X: Array,
    mean: Array,
    variance: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    normalised: Array,
    out: Array,
) -> None:
    """normalised (N, c) = (X - mean) / sqrt(variance + eps)

    out (B, n c) = gamma normalised + beta
    """
    rows = {"mean": mean, "variance": variance, "gamma": gamma, "beta": beta}
    _each("normalise", {"out": out, "X": X}, normalised, rows, eps)


def normalise_gradients(dY: Array, normalised: Array, dgamma: Array, dbeta: Array) -> None:
    """dgamma (1, c) = sum of dy normalised,   dbeta (1, c) = sum of dy

    Both sums are over the N rows of dY (B, n c) and normalised (N, c).
    """
    _check("normalise_gradients", dY, dgamma, dbeta)
    normalised = _as_images("normalise_gradients", normalised, dY)
    _sum_of_terms("sum_products", dY, normalised, 1.0, dgamma)
    sum_rows(dY, dbeta)


def normalise_backward(
    dY: Array,
    normalised: Array,
    variance: Array,
    gamma: Array,
    eps: float,
    dgamma: Array,
    dbeta: Array,
    out: Array,
) -> None:
    """out (B, n c) = gamma / sqrt(variance + eps) (dY - dbeta / N - normalised dgamma / N)

    With zeros for dgamma and dbeta it is the gradient for constant statistics.
    """
    rows = {"variance": variance, "gamma": gamma, "dgamma": dgamma, "dbeta": dbeta}
    _each("normalise_backward", {"out": out, "dY": dY}, normalised, rows, eps)


def _sum_of_terms(name: str, X: Array, Y: Array, scale: float, out: Array) -> None:
    """out (1, c) = scale times the sum of a kernel's term over the numbers of X (B, n c)

    Y is like X, or a row (1, c).
    """
    if X.shape[-1] != out.shape[-1]:
        of_images = scratch("of images", (*X.shape[:-2], 1, X.shape[-1]), str(X.dtype))
        _sum_of_terms(name, X, Y, 1.0, of_images)
        scaled_sum_of_rows(pixels(of_images, out.shape[-1]), scale, out)
        return
    args = {"rows": X.shape[-2], "columns": X.shape[-1], **layout.matrices(X=X, Y=Y)}
    args |= {"Y_length": Y.shape[-1], "Y_row": args["Y_row"] if Y.shape == X.shape else 0}
    args |= {"scale": scale, "out": out, "out_member": layout.member_distance(out)}
    grid = (-(-X.shape[-1] // 32), layout.members(X))
    launch(name, X.dtype, grid, SUMMING, args)


def _each(
    name: str, images: dict[str, Array], normalised: Array, rows: dict[str, Array], eps: float
) -> None:
    """Launch a kernel for each number of images (B, n c) and normalised ones, with rows (1, c)."""
    out = images["out"]
    _check(name, out, *rows.values())
    arrays = {**images, "normalised": _as_images(name, normalised, out)}
    if any(X.shape != out.shape for X in arrays.values()):
        raise ShapeError(f"{name}: {[X.shape for X in images.values()]} differ")
    layout.need_dtype(name, out.dtype, *arrays.values())
    args = {"columns": out.shape[-1], "channels": rows["gamma"].shape[-1], "eps": eps}
    for field, row in rows.items():
        args |= {field: row, f"{field}_member": layout.member_distance(row)}
    for_each_number(name, out, args | layout.matrices(**arrays))


def _as_images(name: str, normalised: Array, X: Array) -> Array:
    """normalised (N, c) as (B, n c), the shape of X"""
    layout.need_dtype(name, X.dtype, normalised)
    if normalised.shape == X.shape:
        return normalised
    if normalised.size != X.size or layout.axes_together(normalised) < 2:
        raise ShapeError(f"{name}: {normalised.shape} must be pixels of {X.shape}, without gaps")
    return normalised.reshape(X.shape)


def _check(name: str, X: Array, *rows: Array) -> None:
    """Raise an error unless the features of X (B, n c) are pixels with rows (1, c) of channels."""
    shape = rows[0].shape
    fits = shape[:-1] == (*X.shape[:-2], 1) and not X.shape[-1] % shape[-1]
    if not fits or any(row.shape != shape for row in rows):
        raise ShapeError(f"{name}: {X.shape} and {[row.shape for row in rows]} do not fit")
    layout.need_dtype(name, X.dtype, *rows)
    for row in rows:
        layout.row_distance(row)  # or an error
