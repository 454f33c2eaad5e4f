"""What is measured and drawn of a run, by the form of its data: numbers, images, points, vectors.

A data source only names its form (`DataSource.form`); `form_of` finds the scores and figures.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np

from minigan.backend.base import on_host
from minigan.data import DataSource, Distribution, Images, ImageSet, Plane
from minigan.data.images import to_floats, to_pixels
from minigan.data.source import data_shape, described
from minigan.errors import ConfigError, DataError
from minigan.evaluation.class_scores import ClassScores, score_classes
from minigan.evaluation.classifier import load_classifier
from minigan.evaluation.code_scores import CodeScores, score_codes
from minigan.evaluation.form import Form
from minigan.evaluation.grids import grid_of
from minigan.evaluation.image_scores import frechet_distance, score_images
from minigan.evaluation.metrics import score_numbers
from minigan.evaluation.modes import score_points, sliced_wasserstein
from minigan.evaluation.pictures import SMALL_TILE, grid, save_film, save_png
from minigan.evaluation.plane import (
    draw_field,
    draw_points,
    draw_warped_grid,
    field_of,
    limits,
    warped_grid,
)
from minigan.evaluation.plots import (
    INK,
    LOSSES,
    SIZE,
    Rows,
    draw_course,
    draw_losses,
    draw_map,
    draw_response,
    draw_samples,
    draw_vectors,
    draw_walk,
    draw_walk_in_time,
    new_figure,
    save_figure,
    style,
)
from minigan.evaluation.response import discriminator_response, targets_of
from minigan.gan import Game, InfoGAN

QUICK = 2000  # samples for a quick score
QUICK_NUMBERS = 10_000  # the same, of numbers and points
DRAWN = 100_000  # numbers in a figure
DRAWN_VECTORS = 2000  # vectors in a figure
MOST_TILES = 10_000  # images in a picture
SMALL = (6.4, 4.6)  # inches, of a figure with one panel


class NumberForm(Form):
    """Single numbers of a known distribution."""

    source: ClassVar[type[DataSource]] = Distribution
    quick_name = "Kolmogorov-Smirnov distance"
    shown = DRAWN

    def quick_score(self, data: Distribution, game: Game) -> float:
        """The Kolmogorov-Smirnov distance."""
        samples = game.ops.to_host(game.sample(QUICK_NUMBERS, seed=1))  # (10000, 1)
        return score_numbers(samples, data).ks

    def score(self, samples: Any, data: Distribution) -> tuple[dict[str, Any], str]:
        """Mean, standard deviation, and two distances from the distribution."""
        score = score_numbers(samples, data)
        return score.to_dict(), f"generated: {score}"

    @style()
    def draw(self, figure: Any, title: str, game: Game, data: Distribution, history: Rows) -> str:
        """100,000 samples, the generator's map, the discriminator, and the training."""
        samples = game.ops.to_host(game.sample(DRAWN, seed=1))  # (100000, 1)
        score = score_numbers(samples, data)
        low, high = _range(data, score.mean, score.std)
        x, loss = np.linspace(low, high, 241), cast(Any, game.loss)
        D, response = game.discriminator, None
        if not D.condition_features:
            response = discriminator_response(
                D, samples, x, data.density, targets_of(loss), loss.output
            )
        scores = (
            f"mean {score.mean:.3f} (real {data.mean:.4g}), "
            f"std {score.std:.3f} (real {data.std:.4g}), KS {score.ks:.3f}"
        )
        figure.suptitle(f"{title}\n{scores}", color=INK)
        axes = figure.subplot_mosaic("AABBCC;AABBCC;DDDEEE;DDDFFF")
        draw_samples(axes["A"], samples, data, x)
        draw_map(axes["B"], generator_map(game, data))
        p = None if response is None else data.density(response.x)
        draw_response(axes["C"], response, p)
        players = [name for name in game.columns if name in LOSSES]  # a penalty has its own scale
        draw_losses(axes["D"], history, players, loss.undecided())
        draw_course(axes["E"], axes["F"], history, data)
        return f"real data: mean {data.mean:.3f}   std {data.std:.3f}\ngenerated: {score}"

    @style()
    def save_samples(
        self, path: Path, samples: Any, data: dict[str, Any], columns: int | None = None
    ) -> None:
        """Their histogram against the density of the data."""
        target, figure = _distribution(data), new_figure(SMALL)
        numbers = np.asarray(samples, np.float64)  # (n, 1)
        span = _range(target, float(numbers.mean()), float(numbers.std()))
        bins = min(100, max(10, math.isqrt(len(numbers))))
        draw_samples(figure.subplots(), numbers, target, span, bins)
        save_figure(figure, path)

    @style()
    def save_walks(self, path: Path, walks: Any, Z: Any, game: Game, data: dict[str, Any]) -> None:
        """G as a function of its noise: of one number, or along the path."""
        _require_no_film(path)
        target, figure = _distribution(data), new_figure(SMALL)
        axes, map_of_G = figure.subplots(), generator_map(game, target)
        if map_of_G is None:
            draw_walk_in_time(axes, walks[:, :, 0], target)
        else:
            axes.plot(Z.ravel(), walks.ravel(), "o", color=INK, ms=3, label="on the walks")
            draw_map(axes, map_of_G)
        save_figure(figure, path)


class ImageForm(Form):
    """Grey images with pixels in [-1, 1]."""

    source: ClassVar[type[DataSource]] = Images
    quick_name = "Fréchet distance of pixels"

    def quick_score(self, data: Images, game: Game) -> float:
        """The Fréchet distance of pixels: coarse next to `minigan score`, but quick."""
        rows = data.ops.to_host(data.X[:QUICK])  # (<= 2000, h w) bytes
        return _frechet(game, to_floats(rows))

    def score(self, samples: Any, data: Images) -> tuple[dict[str, Any], str]:
        """The scores that a classifier gives; see `score_images`."""
        images = _image_set(data)
        score = score_images(samples, images, load_classifier(images))
        return score.to_dict(), str(score)

    def score_game(self, game: Game, data: Images, n: int, seed: int) -> tuple[dict[str, Any], str]:
        """As `score`; then `score_classes` of a conditional GAN, `score_codes` of an InfoGAN."""
        images = _image_set(data)
        more: ClassScores | CodeScores | None = None
        if game.takes_labels:
            more = score_classes(game, images, load_classifier(images), n, seed)
        elif isinstance(game, InfoGAN):
            more = score_codes(game, images, n, seed)
        scores, text = super().score_game(game, data, n, seed)
        return (scores, text) if more is None else (scores | more.to_dict(), f"{text}\n\n{more}")

    @style()
    def draw(self, figure: Any, title: str, game: Game, data: Images, history: Rows) -> str:
        """A grid of samples, and the losses."""
        axes = _samples_and_losses(figure, title, game, history)
        axes.imshow(grid_of(game, data.shape), cmap="gray", vmin=0, vmax=255)
        axes.set_axis_off()
        return f"{self.quick_name} {self.quick_score(data, game):.4g}"

    def save_samples(
        self, path: Path, samples: Any, data: dict[str, Any], columns: int | None = None
    ) -> None:
        """A grid: a row for each class, or about as wide as high."""
        if len(samples) > MOST_TILES:
            raise ConfigError(f"a picture holds at most {MOST_TILES:,} images; write a .npy file")
        pixels = to_pixels(samples, _image_shape(data))  # (n, h, w)
        if columns is None:
            picture = grid(pixels, math.ceil(math.sqrt(len(pixels))))
        else:
            picture = grid(pixels, columns, SMALL_TILE)
        save_png(picture, path)

    def save_walks(self, path: Path, walks: Any, Z: Any, game: Game, data: dict[str, Any]) -> None:
        """A row for each walk; or a film of all walks side by side."""
        count, steps, features = walks.shape
        shape = _image_shape(data)
        pixels = to_pixels(walks.reshape(-1, features), shape)  # (count steps, h, w)
        if path.suffix != ".gif":
            save_png(grid(pixels, steps, tile=72), path)
            return
        of_step = pixels.reshape(count, steps, *shape).swapaxes(0, 1)
        titled = [
            (f"{k + 1} of {steps}", grid(images, math.ceil(math.sqrt(count))))
            for k, images in enumerate(of_step)
        ]
        # Forward and backward, so that the film does not jump where it begins again.
        save_film([*titled, *titled[-2:0:-1]], path, hold=1 / 8)


class VectorForm(Form):
    """Anything else: rows of numbers."""

    quick_name = "Fréchet distance of the samples"
    shown = DRAWN_VECTORS

    def quick_score(self, data: DataSource, game: Game) -> float:
        """The Fréchet distance of the numbers themselves."""
        return _frechet(game, _reference(data, QUICK))

    def score(self, samples: Any, data: DataSource) -> tuple[dict[str, Any], str]:
        """The Fréchet distance to real samples, and that of two halves of those."""
        real = _reference(data, len(samples))  # (<= n, features)
        if len(real) < 4:
            raise DataError(f"scores need at least 4 real samples, and these data have {len(real)}")
        scores = {
            "frechet": frechet_distance(samples, real),
            "frechet_floor": frechet_distance(real[::2], real[1::2]),
        }
        text = (
            f"Fréchet distance {scores['frechet']:.4g} of {len(samples):,} samples; "
            f"two halves of the real ones have {scores['frechet_floor']:.4g}"
        )
        return scores, text

    @style()
    def draw(self, figure: Any, title: str, game: Game, data: DataSource, history: Rows) -> str:
        """The first two numbers of 2,000 generated and 2,000 real samples, and the losses."""
        samples = game.ops.to_host(game.sample(DRAWN_VECTORS, seed=0))  # (2000, features)
        axes = _samples_and_losses(figure, title, game, history)
        draw_vectors(axes, samples, _reference(data, DRAWN_VECTORS))
        return f"{self.quick_name} {self.quick_score(data, game):.4g}"

    @style()
    def save_samples(
        self, path: Path, samples: Any, data: dict[str, Any], columns: int | None = None
    ) -> None:
        """Their first two numbers, and those of the data, unless a program must give these."""
        figure = new_figure(SMALL)
        draw_vectors(figure.subplots(), samples, _reference_of(data, *samples.shape))
        save_figure(figure, path)

    @style()
    def save_walks(self, path: Path, walks: Any, Z: Any, game: Game, data: dict[str, Any]) -> None:
        """Lines through the first two numbers of the data; one number over the path."""
        _require_no_film(path)
        figure = new_figure(SMALL)
        axes = figure.subplots()
        if walks.shape[2] == 1:
            draw_walk_in_time(axes, walks[:, :, 0], None)
        else:
            draw_walk(axes, walks[:, :, 0], walks[:, :, 1])
            real = _reference_of(data, DRAWN_VECTORS, walks.shape[2])
            draw_vectors(axes, real[:0], real)
        save_figure(figure, path)


class PlaneForm(VectorForm):
    """Points in the plane."""

    source: ClassVar[type[DataSource]] = Plane
    quick_name = "sliced Wasserstein distance"

    def quick_score(self, data: Any, game: Game) -> float:
        """The sliced Wasserstein distance to real samples."""
        samples = game.ops.to_host(game.sample(QUICK_NUMBERS, seed=1))  # (10000, 2)
        return sliced_wasserstein(samples, _reference(data, QUICK_NUMBERS))

    def score(self, samples: Any, data: Any) -> tuple[dict[str, Any], str]:
        """The modes that were found, and how well; see `score_points`."""
        score = score_points(samples, data)
        return score.to_dict(), f"generated: {score}"

    @style()
    def draw(self, figure: Any, title: str, game: Game, data: Any, history: Rows) -> str:
        """Samples over the data, D and its gradients, G's map of its noise, and the losses.

        D, or G, is left out if it reads a condition.
        """
        samples = game.ops.to_host(game.sample(QUICK_NUMBERS, seed=1))  # (10000, 2)
        real, score = _reference(data, DRAWN_VECTORS), score_points(samples, data)
        span = limits(real, samples)
        field, bent = field_of(game, samples, span), warped_grid(game)
        figure.suptitle(f"{title}\n{score.title()}", color=INK)
        figure.set_size_inches(SIZE[0], 7.8)
        top = "A" + "B" * (field is not None) + "C" * (bent is not None)
        axes = figure.subplot_mosaic(f"{top};{'L' * len(top)}", height_ratios=(2, 1))
        draw_points(axes["A"], samples[:DRAWN_VECTORS], real, span)
        if field is not None:
            draw_field(axes["B"], field, real, span)
        if bent is not None:
            draw_warped_grid(axes["C"], bent, real, span)
        draw_losses(axes["L"], history, [*game.columns], cast(Any, game.loss).undecided())
        return f"generated: {score}"


def _samples_and_losses(figure: Any, title: str, game: Game, history: Rows) -> Any:
    """Draw the losses into the right half of a figure, and return axes for the samples."""
    figure.set_size_inches(SIZE[0], 5.4)
    figure.suptitle(title, color=INK)
    left, right = figure.subplots(1, 2)
    left.set_title("samples")
    draw_losses(right, history, [*game.columns], game.loss.undecided())
    return left


FORMS: dict[str, Form] = {
    "number": NumberForm(),
    "image": ImageForm(),
    "vector": VectorForm(),
    "plane": PlaneForm(),
}


def form_of(data: DataSource | type[DataSource]) -> Form:
    """What is measured and drawn of a run on these data; of a class, what draws its samples.

    Raises:
        ConfigError: an unknown form, or a class that lacks what the form needs.
    """
    source = data if isinstance(data, type) else type(data)
    form, name = FORMS.get(source.form), source.__name__
    if form is None:
        raise ConfigError(f"{name}.form is {source.form!r}; known are {', '.join(FORMS)}")
    if source is not data and not isinstance(data, form.source):
        raise ConfigError(f"{name}.form is {data.form!r}, so it must be of {form.source.__name__}")
    return form


def _made(data: dict[str, Any]) -> Any:
    """Described data, which need no file. Their class is registered, since their form is known."""
    source, settings = described(data)
    assert source is not None
    return source.find(settings)


def _distribution(data: dict[str, Any]) -> Distribution:
    made: Distribution = _made(data)
    form_of(made)  # an error if it is not a distribution
    return made


def _image_set(data: Images) -> ImageSet:
    """The set that the images are of; `DataError` if there is none."""
    if data.image_set is None:
        raise DataError("scores of images need a test set with labels: Images.of(image_set)")
    return data.image_set


def _image_shape(data: dict[str, Any]) -> tuple[int, int]:
    """Height and width of described images; `DataError` if they have none."""
    shape = data_shape(data)
    if len(shape) != 3:
        raise DataError(f"{data['data']} has no images (N, h, w): write a .npy file")
    return shape[1], shape[2]


def _reference_of(data: dict[str, Any], n: int, features: int) -> Any:
    """At most n real samples of described data; none if only a program can give them."""
    source, _ = described(data)
    given = source is not None and source.is_given
    return np.empty((0, features)) if given else _reference(_made(data), n)


def _require_no_film(path: Path) -> None:
    if path.suffix == ".gif":
        raise DataError("a film shows images, and these are numbers: write a .png or .npy file")


def _range(data: Distribution, mean: float, std: float) -> tuple[float, float]:
    """Wide enough for the data, and for a generator that went elsewhere."""
    low = min(data.mean - 4.5 * data.std, mean - 4.5 * std)
    high = max(data.mean + 4.5 * data.std, mean + 4.5 * std)
    return low, high


def generator_map(game: Game, data: Distribution) -> tuple[Any, Any, Any] | None:
    """z (K,), G(z) (K,), and the map that would turn z into the data exactly, (K,).

    That map takes the quantiles of the noise to those of the data. G may as well have learned it
    from right to left. None if G takes more than one number (noise, or a condition), or noise whose
    quantiles are not known.
    """
    u = (np.arange(500) + 0.5) / 500  # (K,)
    one = game.noise.dim == 1 and not game.generator.condition_features
    z = game.noise.quantile(u) if one else None
    if z is None:
        return None
    made = game.ops.to_host(game.sampler.predict(z[:, None]))[:, 0]  # (K,)
    rising = made[-1] >= made[0]
    return z, made, data.quantile(u if rising else 1.0 - u)


def _frechet(game: Game, real: Any) -> float:
    """The Fréchet distance of samples to real ones (m, features); NaN for fewer than two."""
    if len(real) < 2:
        return math.nan
    return frechet_distance(game.ops.to_host(game.sample(QUICK, seed=0)), real)


def _reference(data: DataSource, n: int) -> Any:
    """At most n real samples on the host."""
    return on_host(data.reference(n))  # (<= n, features)
