"""Pictures for the pages about layers and penalties; `figures.py` draws them.

Their numbers are computed by the layers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

import minigan as mg
from minigan.backend import Array
from minigan.evaluation import plots
from minigan.nn.second_order import SecondOrder

# One colour for each of the four places of the kernel.
PLACES = (plots.REAL, plots.FAKE, plots.DISCRIMINATOR, plots.OTHERS[0])
PADDING, WHITE, GREY, INK = "#e4e4e4", "#ffffff", "#595959", plots.INK
TINT = 0.3  # opacity of coloured cells
WIDTH = 5.2  # inches: the numbers can be read on a telephone, where a picture is made narrower

# The example of the pages about convolutions: kernel 3, stride 2, padding 1.
KERNEL, SIZE, OUTPUT = 3, 3, 2
IMAGE = np.arange(1.0, 10.0).reshape(SIZE, SIZE)
WEIGHT = np.array([[1.0, 2.0, 0.0], [0.0, 3.0, 1.0], [2.0, 0.0, 1.0]])
SMALL = np.array([[1.0, 2.0], [3.0, 4.0]])  # what the transposed convolution is given
PADDED = SIZE + 2

Point = tuple[float, float]
#: Under the graph of the statistics.
NAMES = (
    "s = \N{SQUARE ROOT}(v + \N{GREEK SMALL LETTER EPSILON}),  "
    "dn = \N{GREEK SMALL LETTER GAMMA} dy;  forward is grey"
)
CHECKERED = 6  # pixels of a side in the heat maps


def new_canvas(width: float, height: float) -> tuple[Any, Any]:
    """A figure and its axes, in which the unit is a cell and y grows downwards."""
    figure = plots.new_figure((WIDTH, WIDTH * height / width))
    figure.set_layout_engine("none")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    axes.set_axis_off()
    return figure, axes


def cell(axes: Any, x: float, y: float, text: str, fill: Any = WHITE, **style: Any) -> None:
    """A square with its upper left corner at x, y."""
    axes.add_patch(Rectangle((x, y), 1, 1, facecolor=fill, edgecolor=GREY, linewidth=0.6))
    write(axes, x + 0.5, y + 0.5, text, **style)


def write(axes: Any, x: float, y: float, text: str, size: float = 11.0, **style: Any) -> None:
    axes.text(
        x, y, text, fontsize=size, **{"ha": "center", "va": "center", "color": INK} | style
    )  # fmt: skip


def frame(axes: Any, x: float, y: float, side: float, colour: str) -> None:
    axes.add_patch(
        Rectangle((x, y), side, side, fill=False, edgecolor=colour, linewidth=2.5, zorder=3)
    )


def arrow(axes: Any, start: Point, end: Point, colour: str, **style: Any) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=14,
            color=colour,
            **{"linewidth": 1.2, "shrinkA": 0, "shrinkB": 0} | style,
        )
    )


def tinted(colour: str) -> tuple[str, float]:
    return colour, TINT


def draw_windows() -> Any:
    """The kernel in its four places, and the product of the windows with the weight."""
    net = mg.Sequential(mg.Conv2d(1, 1, 3, 2, 1, size=SIZE, bias=False))
    net.parameters.data[:] = WEIGHT.ravel()
    outputs = net.forward(IMAGE.reshape(1, -1)).ravel()  # (4,)
    padded = np.pad(IMAGE, 1)  # (5, 5)
    figure, axes = new_canvas(14.6, 24.6)
    for place, colour in enumerate(PLACES):
        row, column = divmod(place, OUTPUT)
        x, y = 1.6 + 6.4 * column, 1.2 + 6.6 * row
        write(axes, x + 2.5, y - 0.5, f"row {row}, column {column}")
        for i, j in np.ndindex(PADDED, PADDED):
            inside = 2 * row <= i < 2 * row + KERNEL and 2 * column <= j < 2 * column + KERNEL
            border = min(i, j) < 1 or max(i, j) > SIZE
            fill = tinted(colour) if inside else PADDING if border else WHITE
            cell(axes, x + j, y + i, f"{padded[i, j]:g}", fill, color=GREY if border else INK)
        frame(axes, x + 2 * column, y + 2 * row, KERNEL, colour)
        window = padded[2 * row : 2 * row + KERNEL, 2 * column : 2 * column + KERNEL]
        y = 17.4 + place
        for at, value in enumerate(window.ravel()):
            cell(axes, 0.4 + at, y, f"{value:g}", tinted(colour))
        cell(axes, 12.9, y, f"{outputs[place]:g}", tinted(colour))
    write(axes, 4.9, 16.8, "windows(X)")
    write(axes, 11.0, 14.3, "W")
    write(axes, 13.4, 16.8, "Y")
    for at, value in enumerate(WEIGHT.ravel()):
        cell(axes, 10.5, 14.9 + at, f"{value:g}")
    write(axes, 9.95, 19.4, "\N{MULTIPLICATION SIGN}")
    write(axes, 12.2, 19.4, "=")
    return figure


def draw_adjoint() -> Any:
    """Each number of the input times the kernel, in its place, and their sum."""
    net = mg.Sequential(mg.ConvTranspose2d(1, 1, 3, 2, 1, size=OUTPUT, bias=False))
    net.parameters.data[:] = WEIGHT.ravel()
    outputs = net.forward(SMALL.reshape(1, -1)).reshape(SIZE, SIZE)
    terms: dict[tuple[int, int], list[str]] = {}
    sums = np.zeros((PADDED, PADDED))
    figure, axes = new_canvas(14.6, 25.4)
    for place, colour in enumerate(PLACES):
        row, column = divmod(place, OUTPUT)
        x, y = 1.6 + 6.4 * column, 1.2 + 6.6 * row
        write(axes, x + 2.5, y - 0.5, f"{SMALL[row, column]:g} times the kernel")
        for i, j in np.ndindex(PADDED, PADDED):
            cell(axes, x + j, y + i, "")
        for a, b in np.ndindex(KERNEL, KERNEL):
            i, j, value = 2 * row + a, 2 * column + b, SMALL[row, column] * WEIGHT[a, b]
            cell(axes, x + j, y + i, f"{value:g}", tinted(colour))
            terms.setdefault((i, j), []).append(f"{value:g}")
            sums[i, j] += value
        frame(axes, x + 2 * column, y + 2 * row, KERNEL, colour)
    assert np.array_equal(sums[1:-1, 1:-1], outputs)
    x, y, big = 2.3, 14.9, 2.0
    write(axes, 7.3, y - 0.6, "their sum; the grey border is cut off")
    for (i, j), found in terms.items():
        border = min(i, j) < 1 or max(i, j) > SIZE
        fill = PADDING if border else (INK, 0.07 * (len(found) - 1))
        left, top = x + big * j, y + big * i
        axes.add_patch(
            Rectangle((left, top), big, big, facecolor=fill, edgecolor=GREY, linewidth=0.6)
        )
        colour, middle = GREY if border else INK, top + big / 2
        alone = len(found) == 1
        write(
            axes, left + 1, middle - (0 if alone else 0.35), f"{sums[i, j]:g}", 12, color=colour
        )  # fmt: skip
        if not alone:
            write(axes, left + 1, middle + 0.45, "+".join(found), 9, color=colour)
    frame(axes, x + big, y + big, big * SIZE, INK)
    return figure


def draw_statistics() -> Any:
    """The graph of batch normalisation, and the three paths of its gradient."""
    figure, axes = new_canvas(10.4, 10.6)
    boxes = {
        "x": (1.0, 3.2, 1.2, "x"),
        "m": (3.9, 0.9, 3.0, "m = mean of x"),
        "v": (5.0, 5.5, 4.2, "v = mean of (x \N{MINUS SIGN} m)\N{SUPERSCRIPT TWO}"),
        "n": (6.1, 3.2, 3.7, "n = (x \N{MINUS SIGN} m) / s"),
        "y": (9.35, 3.2, 1.3, "y"),
    }
    for x, y, width, text in boxes.values():
        axes.add_patch(
            FancyBboxPatch(
                (x - width / 2, y - 0.42), width, 0.84, boxstyle="round,pad=0,rounding_size=0.15",
                facecolor=WHITE, edgecolor=INK, linewidth=1.2, zorder=3,
            )
        )  # fmt: skip
        write(axes, x, y, text, 10.5, zorder=4)

    direct, through_m, through_v = plots.REAL, plots.FAKE, plots.DISCRIMINATOR
    # Forward in grey, and next to each arrow the gradient's in the colour of its path.
    arrow(axes, (1.6, 3.05), (4.25, 3.05), GREY)
    arrow(axes, (4.25, 3.38), (1.6, 3.38), direct, linewidth=2.5)
    arrow(axes, (1.0, 2.78), (2.4, 1.0), GREY)
    arrow(axes, (2.4, 1.32), (1.25, 2.78), through_m, linewidth=2.5)
    arrow(axes, (5.4, 0.9), (6.3, 2.78), GREY)
    arrow(axes, (6.0, 2.78), (5.1, 1.32), through_m, linewidth=2.5)
    arrow(axes, (1.0, 3.62), (2.9, 5.6), GREY)
    arrow(axes, (2.9, 5.25), (1.25, 3.62), through_v, linewidth=2.5)
    arrow(axes, (6.0, 5.08), (6.6, 3.62), GREY)
    arrow(axes, (6.25, 3.62), (5.65, 5.08), through_v, linewidth=2.5)
    arrow(axes, (3.7, 1.32), (3.7, 5.08), GREY, linestyle=(0, (4, 3)))
    write(axes, 4.55, 4.55, "no gradient", 9, color=GREY)
    arrow(axes, (7.95, 3.05), (8.7, 3.05), GREY)
    arrow(axes, (8.7, 3.38), (7.95, 3.38), INK, linewidth=2.5)
    for x, y, number in ((3.0, 3.72, "1"), (2.05, 2.3, "2"), (5.25, 2.2, "2"),
                         (2.35, 4.3, "3"), (5.6, 4.3, "3")):  # fmt: skip
        write(axes, x, y, number, 10.5, weight="bold")
    lines = (
        (direct, "1", "dn / s"),
        (through_m, "2", "\N{MINUS SIGN}(1/N) (sum of dn) / s"),
        (through_v, "3", "\N{MINUS SIGN}n (1/N) (sum of dn n) / s"),
    )
    write(axes, 0.6, 6.85, "The gradient of x has three terms, one for each path:", 10.5, ha="left")
    for at, (colour, number, text) in enumerate(lines):
        y = 7.65 + 0.8 * at
        arrow(axes, (1.9, y), (0.6, y), colour, linewidth=2.5)
        write(axes, 2.25, y, number, 10.5, color=INK)
        write(axes, 2.8, y, text, 10.5, ha="left")
    write(axes, 0.6, 10.1, NAMES, 9.5, ha="left", color=GREY)
    return figure


def draw_rows_and_channels() -> Any:
    """Which numbers of a batch share a mean, in batch normalisation and in layer normalisation.

    Four images of two pixels with three channels: the statistics that the layers have computed.
    """
    B, pixels, c = 4, 2, 3
    X = np.random.default_rng(4).integers(0, 10, (B, pixels * c)).astype(float)
    kinds: tuple[tuple[str, mg.Layer, Any], ...] = (
        ("BatchNorm(3): a mean for each channel", mg.BatchNorm(c), lambda i, j: j % c),
        ("LayerNorm(3): a mean for each row", mg.LayerNorm(c), lambda i, j: i),
    )
    figure, axes = new_canvas(10.4, 16.2)
    for at, (title, layer, group_of) in enumerate(kinds):
        net = mg.Sequential(layer, in_features=pixels * c, dtype="float64")
        out = net.forward(X)
        x, y = 2.2, 2.7 + 8.6 * at
        write(axes, 0.5, y - 2.2, title, 12, ha="left", weight="bold")
        for pixel in range(pixels):
            write(axes, x + c * (pixel + 0.5), y - 1.1, f"pixel {pixel + 1}", 10, color=GREY)
        for j in range(pixels * c):
            write(axes, x + j + 0.5, y - 0.4, f"c{j % c + 1}", 9, color=GREY)
        for i in range(B):
            write(axes, x - 0.3, y + i + 0.5, f"image {i + 1}", 10, ha="right", color=GREY)
        for i, j in np.ndindex(B, pixels * c):
            colour = PLACES[group_of(i, j)]
            cell(axes, x + j, y + i, f"{X[i, j]:g}", tinted(colour))
        axes.plot([x + c, x + c], [y, y + B], color=INK, linewidth=2.0)  # between the pixels
        groups = sorted({group_of(i, j) for i, j in np.ndindex(B, pixels * c)})
        for group in groups:
            members = [(i, j) for i, j in np.ndindex(B, pixels * c) if group_of(i, j) == group]
            numbers = np.array([X[place] for place in members])
            normalised = (numbers - numbers.mean()) / np.sqrt(numbers.var() + 1e-5)
            assert np.allclose([out[place] for place in members], normalised)
            place = (x + 6.9, y + group + 0.5) if at else (x + 0.5 + group, y + B + 0.6)
            write(axes, *place, f"{numbers.mean():.1f}", 11, weight="bold")
        write(axes, *((x + 6.9, y - 0.4) if at else (x - 0.3, y + B + 0.6)), "mean", 10,
              ha="center" if at else "right")  # fmt: skip
    return figure


def checkered(kernel: int, upsampled: bool, weight: float | Array) -> Array:
    """The middle of the output (6, 6) for a constant image of 1, with the kernel (k, k)."""
    image = np.ones((1, 64))
    layers: list[mg.Layer]
    if upsampled:
        layers = [mg.Upsample2d(1, 2, size=8), mg.Conv2d(1, 1, kernel, 1, kernel // 2, size=16)]
    else:
        layers = [mg.ConvTranspose2d(1, 1, kernel, 2, 1, size=8)]
    net = mg.Sequential(*layers, dtype="float64")
    net.parameters.data[:] = 0.0
    net.parameters.named()[f"{len(layers) - 1}.weight"][:] = np.broadcast_to(
        weight, (kernel, kernel)
    ).reshape(-1, 1)
    outputs = net.forward(image).ravel()
    side = round(len(outputs) ** 0.5)
    return outputs.reshape(side, side)[4 : 4 + CHECKERED, 4 : 4 + CHECKERED]


def draw_checkerboard() -> Any:
    """How many products are added in a pixel, and what random weights make of a constant image."""
    random = np.random.default_rng(3)
    cases = (
        ("kernel 3,\nstride 2", 3, False),
        ("kernel 4,\nstride 2", 4, False),
        ("upsampled,\nkernel 3", 3, True),
    )
    figure, axes = new_canvas(21.6, 17.9)
    for at, (title, kernel, upsampled) in enumerate(cases):
        x = 0.6 + 7.2 * at
        write(axes, x + 3, 1.2, title)
        counts = checkered(kernel, upsampled, 1.0)
        answers = checkered(kernel, upsampled, random.normal(size=(kernel, kernel)))
        spread = 2.5 * kernel  # of a sum of k k normal numbers: their standard deviation is k
        for i, j in np.ndindex(CHECKERED, CHECKERED):
            count = counts[i, j]
            cell(axes, x + j, 3.6 + i, f"{count:.0f}", (plots.REAL, count / 12), size=9)
            grey = float(np.clip(0.5 + answers[i, j] / spread, 0, 1))
            axes.add_patch(
                Rectangle((x + j, 11.3 + i), 1, 1, facecolor=str(grey), edgecolor=str(grey))
            )
        axes.add_patch(
            Rectangle((x, 11.3), 6, 6, fill=False, edgecolor=GREY, linewidth=0.6, zorder=3)
        )
    write(axes, 0.6, 2.9, "products that are added in a pixel", 10, ha="left")
    write(axes, 0.6, 10.6, "output for a constant image, random weights", 10, ha="left")
    return figure


def draw_three_passes() -> Any:
    """The three passes for the penalty g^2 / 2 of a net with one unit, in numbers."""
    net = mg.Sequential(mg.Linear(1, 1), mg.Tanh(), mg.Linear(1, 1), dtype="float64")
    net.parameters.data[:] = 1.25, np.log(2) - 1.25, 5.0, 0.0
    second, x = SecondOrder(net, 1), np.ones((1, 1))
    v = second.input_gradient(x).copy()  # for this penalty it is g
    first, unit, last = second.layers
    forward = [x, first.Y, unit.Y, last.Y]
    slopes = [A.copy() for A in (v, unit.dX, last.dX, second.dY)]  # E
    gradient, end = np.zeros(4), np.empty((1, 1))
    second.add_gradients(v, out=gradient)
    tangents = [v, *second.tangents, end]  # U
    last.tangent(tangents[-2], out=end)
    curvature = second.curvatures[1]
    bend = curvature / (slopes[2] * tangents[1])

    figure, axes = new_canvas(10.4, 12.1)
    columns, half, tall = (1.1, 3.83, 6.57, 9.3), 0.92, 0.42  # of the boxes: middles, half a box

    def row(y: float, colour: str, boxes: Mapping[int, str], send: Sequence[int]) -> None:
        for at, text in boxes.items():
            axes.add_patch(
                FancyBboxPatch(
                    (columns[at] - half, y - tall), 2 * half, 2 * tall,
                    boxstyle="round,pad=0,rounding_size=0.15",
                    facecolor=WHITE, edgecolor=colour, linewidth=1.6, zorder=3,
                )
            )  # fmt: skip
            write(axes, columns[at], y, text, 10.5, zorder=4)
        for start, stop in itertools.pairwise(send):
            side = half if stop > start else -half
            arrow(
                axes, (columns[start] + side, y), (columns[stop] - side, y), colour, linewidth=2.5
            )

    def named(names: str, numbers: Sequence[Array]) -> dict[int, str]:
        return {
            at: f"{name} = {short(number)}"
            for at, (name, number) in enumerate(zip(names.split(), numbers, strict=True))
        }

    def take(start: Point, end: Point) -> None:
        """A dashed arrow: a pass takes a number of an earlier one."""
        arrow(axes, start, end, INK, linestyle=(0, (4, 3)))

    for at, name in enumerate(("Linear", "tanh", "Linear")):
        write(axes, (columns[at] + columns[at + 1]) / 2, 0.75, name, 9.5, color=GREY)
    write(axes, 0.2, 0.75, "forward", ha="left")
    row(1.35, GREY, named("x z h y", forward), (0, 1, 2, 3))
    row(3.55, plots.REAL, named("g E(z) E(h) E(y)", slopes), (3, 2, 1, 0))
    row(5.75, plots.FAKE, named("v U(z) U(h) U(y)", tangents), (0, 1, 2, 3))
    row(7.95, plots.DISCRIMINATOR, {1: f"C = {short(curvature)}"}, (1, 0))
    take((columns[0], 3.55 + tall), (columns[0], 5.75 - tall))
    take((columns[1], 5.75 + tall), (columns[1], 7.95 - tall))
    take((columns[2] - 0.6, 3.55 + tall), (columns[1] + 0.45, 7.95 - tall))
    write(axes, 0.2, 2.75, "1. first backward pass: E, the gradients of y", ha="left")
    write(axes, 1.35, 4.95, "2. tangents: U, from v", ha="left")
    write(axes, 0.2, 7.15, "3. second backward", ha="left")
    write(axes, columns[0], 7.95, "W\N{SUBSCRIPT ONE}, b\N{SUBSCRIPT ONE}", 10.5)
    times, z, h = "\N{MULTIPLICATION SIGN}", *map(short, (tangents[1], slopes[2]))
    write(axes, 5.05, 7.7, "C = E(h) U(z) f\N{DOUBLE PRIME}(z)", 10.5, ha="left")
    write(axes, 5.05, 8.25, f"= {h} {times} {z} {times} ({short(bend)})", 10.5, ha="left")
    lines = (
        "The gradients of P = g\N{SUPERSCRIPT TWO}/2, for which v = g:",
        f"dW\N{SUBSCRIPT TWO} = U(h) E(y) = {short(tangents[2])} {times} 1 = {short(gradient[2])}",
        f"dW\N{SUBSCRIPT ONE} = v E(z) + x C = {short(v)} {times} {short(slopes[1])} + "
        f"1 {times} ({short(curvature)}) = {short(gradient[0])}",
        f"db\N{SUBSCRIPT ONE} = C = {short(gradient[1])}",
    )
    for at, text in enumerate(lines):
        write(axes, 0.2, 9.4 + 0.75 * at, text, 10.5, ha="left")
    return figure


def short(number: Array) -> str:
    """One number, with up to three digits after the point."""
    return f"{number.item():.3f}".rstrip("0").rstrip(".").replace("-", "\N{MINUS SIGN}")


PICTURES = {
    "conv2d-windows": draw_windows,
    "conv-transpose-adjoint": draw_adjoint,
    "conv-transpose-checkerboard": draw_checkerboard,
    "batch-norm-paths": draw_statistics,
    "second-order-passes": draw_three_passes,
    "layer-norm-rows": draw_rows_and_channels,
}


def draw(folder: Path, pictures: Mapping[str, Callable[[], Any]] = PICTURES) -> None:
    """Write pictures as SVG."""
    for name, picture in pictures.items():
        plots.save_figure(plots.style()(picture)(), folder / f"{name}.svg")
