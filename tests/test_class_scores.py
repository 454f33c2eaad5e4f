"""Scores of conditional GANs and of InfoGAN's codes, against generators whose scores are known."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

import minigan as mg
from minigan.cli.main import main
from minigan.data import ImageSet
from minigan.data.download import CACHE_DIR
from minigan.data.images import to_floats, to_pixels
from minigan.evaluation import (
    class_scores,
    code_scores,
    forms,
    load_classifier,
    score_classes,
    score_codes,
)
from minigan.evaluation.class_scores import draw_images, variance_within
from minigan.evaluation.classifier import ClassifierRecipe
from minigan.evaluation.code_scores import ceiling, correlation, match, slant_and_width

QUICK = ClassifierRecipe((16,), features=32, dropout=0.1, steps=120, batch=50, lr=6e-3)
Draw = Callable[[Any, Any], Any]


@pytest.fixture(scope="module")
def digits() -> ImageSet:
    return mg.load_images("digits")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def judge(digits, cache):
    return load_classifier(digits, cache, QUICK, progress=False)


@pytest.fixture
def scored(digits, judge, cache):
    """`score_classes` of 400 samples against the digits, with quick classifiers."""

    def score(game: mg.Game, images: ImageSet = digits, n: int = 400, **options: Any):
        options = {"recipe": QUICK, "cache": cache, "progress": False} | options
        return score_classes(game, images, judge, n, **options)

    return score


def conditional(draw: Draw | None = None, classes: int = 10, **settings: Any) -> mg.ConditionalGAN:
    """An untrained game of 8 x 8 images; or one that draws the samples draw(Z, labels)."""

    class Drawn(mg.ConditionalGAN):
        @property
        def sampler(self) -> Any:
            return SimpleNamespace(predict=lambda Z, C: draw(Z, C.argmax(axis=1)))

    kind = mg.ConditionalGAN if draw is None else Drawn
    G = mg.Sequential(
        mg.AppendCondition(3, classes), mg.Linear(3 + classes, 64), mg.Tanh(), name="g", **settings
    )
    D = mg.Sequential(mg.Linear(64, 8), mg.Projection(8, classes), name="d", **settings)
    return kind(G, D, mg.Normal(dim=3))


def training_images(digits: ImageSet, of: Any = None, variants: int = 1000) -> Draw:
    """Each label's own training images, which one depends on the noise.

    Args:
        digits: the set.
        of: (10,) the class that is drawn for each label.
        variants: how many different images of a class are drawn.
    """
    X = to_floats(digits.train)
    of = np.arange(10) if of is None else np.asarray(of)
    rows = [np.flatnonzero(digits.train_labels == k)[:variants] for k in range(10)]

    def draw(Z: Any, labels: Any) -> Any:
        place = stats.norm.cdf(Z[:, 0])  # uniform in (0, 1)
        chosen = [rows[of[k]] for k in labels]
        return X[[own[int(u * len(own))] for own, u in zip(chosen, place, strict=True)]]

    return draw


class TestConditionalGAN:
    def test_real_images_by_class_have_the_scores_of_real_images(self, scored, digits, judge):
        scores = scored(conditional(training_images(digits)), n=1000)
        assert (scores.dataset, scores.n) == ("digits", 1000)
        P = judge.probabilities(judge.features(to_floats(digits.test)))
        right = P.argmax(axis=1) == digits.test_labels
        shares = [right[digits.test_labels == k].mean() for k in range(10)]
        assert scores.gan_test_real == pytest.approx(right.mean())
        assert scores.worst_real == pytest.approx(min(shares))
        assert scores.worst_class_real == np.argmin(shares)
        assert scores.gan_test > scores.gan_test_real - 0.02
        assert scores.worst > 0.8
        X, labels = to_floats(digits.test).astype(np.float64), digits.test_labels
        real = np.mean([X[labels == k].var(axis=0, ddof=1).sum() for k in range(10)])
        assert scores.class_variance_real == pytest.approx(real, rel=1e-6)
        assert scores.class_variance == pytest.approx(real, rel=0.1)
        assert scores.gan_train_real > 0.85
        assert scores.gan_train > scores.gan_train_real - 0.06

    def test_one_image_of_each_class_is_right_but_has_no_variance(self, scored, digits):
        scores = scored(conditional(training_images(digits, variants=1)))
        assert scores.gan_test >= 0.9
        assert scores.class_variance == 0.0
        assert scores.gan_train < scores.gan_train_real - 0.2

    def test_the_class_after_the_one_asked_for(self, scored, digits):
        scores = scored(conditional(training_images(digits, np.roll(np.arange(10), -1))))
        assert scores.gan_test < 0.05
        assert scores.gan_train < 0.1
        assert scores.class_variance > 0.8 * scores.class_variance_real

    def test_one_class_is_wrong(self, scored, digits):
        of = np.arange(10)
        of[3] = 6
        scores = scored(conditional(training_images(digits, of)), n=405)
        assert (scores.worst, scores.worst_class) == (0.0, 3)
        # 405 samples, of which 41 are of the classes 0 to 4, and 40 of the others.
        assert scores.gan_test == pytest.approx((405 - 41) / 405, abs=0.03)
        assert scores.gan_test * 405 == pytest.approx(round(scores.gan_test * 405))

    def test_what_the_classifier_of_gan_train_learns_from(self, scored, digits, monkeypatch):
        seen = []

        def train(images: ImageSet, recipe: ClassifierRecipe, *, progress: bool):
            seen.append((images, recipe, progress))
            return None, 0.25

        monkeypatch.setattr(class_scores, "train_classifier", train)
        game = conditional(training_images(digits))
        scores = scored(game, seed=5)
        assert scores.gan_train == 0.25
        ((images, recipe, progress),) = seen
        assert (recipe, progress) == (QUICK, False)
        assert images.train.shape == digits.train.shape
        np.testing.assert_array_equal(images.train_labels, np.arange(len(digits.train)) % 10)
        assert images.train_labels.dtype == np.uint8
        samples = to_pixels(game.sample(len(digits.train), seed=5), digits.shape)
        np.testing.assert_array_equal(images.train, samples)
        assert images.test is digits.test
        assert images.test_labels is digits.test_labels

    def test_the_classifiers_of_gan_train_have_one_recipe(self, scored, digits, cache):
        recipe = dataclasses.replace(QUICK, steps=3)
        scores = scored(conditional(), recipe=recipe)
        real = load_classifier(digits, cache, recipe, progress=False)
        assert scores.gan_train_real == real.accuracy
        assert class_scores.GAN_TRAIN.steps == 2000

    def test_the_same_every_time_and_nothing_is_changed(self, scored):
        game, recipe = conditional(), dataclasses.replace(QUICK, steps=5)
        counters = game.state()[1]
        first, second = (scored(game, recipe=recipe) for _ in range(2))
        assert first == second
        assert first.class_variance != scored(game, recipe=recipe, seed=1).class_variance
        assert game.state()[1] == counters

    def test_prints_a_line_before_each_training(self, digits, judge, tmp_path, capsys):
        recipe = dataclasses.replace(QUICK, steps=2)
        score_classes(conditional(), digits, judge, 20, recipe=recipe, cache=tmp_path)
        lines = [line for line in capsys.readouterr().err.splitlines() if "training" in line]
        assert lines[0].startswith("training a classifier of scikit-learn's embedded 8 x 8 digits")
        said = "training a classifier on 1,437 generated images: about 10 seconds of an idle core"
        assert said in lines
        options = {"recipe": recipe, "cache": tmp_path, "progress": False}
        score_classes(conditional(), digits, judge, 20, **options)
        assert capsys.readouterr() == ("", "")

    def test_as_text_and_as_json(self, scored):
        scores = scored(conditional(), recipe=dataclasses.replace(QUICK, steps=2))
        numbers = json.loads(json.dumps(scores.to_dict()))
        assert numbers == vars(scores)
        scores = dataclasses.replace(scores, worst=0.125, worst_class=7, worst_class_real=4)
        text = str(scores)
        assert "400 samples, the classes in turn, against the test set of digits" in text
        assert f"{100 * scores.gan_test:.2f} %" in text
        assert "7: 12.50 %" in text
        assert f"4: {100 * scores.worst_real:.2f} %" in text
        assert f"{scores.class_variance_real:.2f}" in text
        assert f"{100 * scores.gan_train:.2f} %" in text

    def test_what_cannot_be_scored(self, scored, digits):
        G = mg.Sequential(mg.Linear(3, 64), mg.Tanh(), name="g")
        plain = mg.GAN(G, mg.Sequential(mg.Linear(64, 1), name="d"), mg.Normal(dim=3))
        with pytest.raises(mg.ConfigError, match=r"^a GAN cannot be asked for a class of the data"):
            scored(plain)
        with pytest.raises(mg.ConfigError, match=r"^score one game at a time, not a population$"):
            scored(conditional(seed=(0, 1)))
        with pytest.raises(mg.ConfigError, match=r"two samples of each .*10 classes, so not n=19$"):
            scored(conditional(), n=19)
        with pytest.raises(mg.ConfigError, match="n must be an integer"):
            scored(conditional(), n=2.5)
        with pytest.raises(mg.ConfigError, match="progress must be"):
            scored(conditional(), progress=1)
        with pytest.raises(mg.DataError, match=r"^the samples hold NaN or infinity$"):
            scored(conditional(lambda Z, labels: np.full((len(Z), 64), np.nan)))
        large = np.zeros((20, 9, 9), np.uint8)
        labels = np.arange(20, dtype=np.uint8) % 10
        with pytest.raises(mg.DataError, match=r"makes 64 features; images of .* have 81$"):
            scored(conditional(), ImageSet("idx", large, labels, large, labels, "somewhere"))
        one_nine = np.flatnonzero(digits.test_labels == 9)[1:]
        few = dataclasses.replace(
            digits,
            test=np.delete(digits.test, one_nine, axis=0),
            test_labels=np.delete(digits.test_labels, one_nine),
        )
        for images, classes in ((few, 10), (digits, 11)):
            with pytest.raises(mg.DataError, match="digits lacks two images of each class"):
                scored(conditional(classes=classes), images)

    def test_variance_within_classes_of_different_size(self):
        random = np.random.default_rng(0)
        pixels = random.integers(0, 256, (9, 2, 3), dtype=np.uint8)
        labels = np.array([0, 0, 1, 1, 1, 1, 1, 2, 2])
        X = pixels.reshape(9, 6) / 127.5 - 1.0
        each = [np.trace(np.cov(X[labels == k].T)) for k in range(3)]
        assert variance_within(pixels, labels, 3) == pytest.approx(np.mean(each), rel=1e-12)

    @pytest.mark.parametrize("block", [1, 7, 29, 30, 31])
    def test_images_are_drawn_in_blocks(self, block, monkeypatch):
        """Only `BLOCK` of them are floating-point numbers at a time; they are those of `sample`."""
        monkeypatch.setattr(class_scores, "BLOCK", block)
        game, taken = conditional(), []
        predict = mg.Sequential.predict

        def spy(self, X, condition=None):
            taken.append(len(X))
            return predict(self, X, condition)

        monkeypatch.setattr(mg.Sequential, "predict", spy)
        pixels, condition = draw_images(game, 30, 4, (8, 8))
        assert max(taken) <= block
        assert sum(taken) == 30
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(condition, np.eye(10)[np.arange(30) % 10])
        np.testing.assert_array_equal(pixels, to_pixels(game.sample(30, seed=4), (8, 8)))

    def test_the_classifier_takes_images_in_blocks(self, scored, judge, monkeypatch):
        recipe = dataclasses.replace(QUICK, steps=2)
        whole = scored(conditional(), recipe=recipe)
        taken, features = [], judge.features
        monkeypatch.setattr(class_scores, "BLOCK", 77)
        monkeypatch.setattr(judge, "features", lambda X: taken.append(len(X)) or features(X))
        assert scored(conditional(), recipe=recipe) == whole
        assert max(taken) == 77


def info(
    categories: int = 10,
    continuous: int = 2,
    trunk: list[mg.Layer] | None = None,
    features: int = 64,
    draw: Draw | None = None,
    **settings: Any,
) -> mg.InfoGAN:
    """An untrained InfoGAN; or one that draws the samples draw(Z, codes)."""

    class Drawn(mg.InfoGAN):
        @property
        def sampler(self) -> Any:
            return SimpleNamespace(predict=draw)

    kind, k = mg.InfoGAN if draw is None else Drawn, categories + continuous
    G = mg.Sequential(
        mg.AppendCondition(3, k), mg.Linear(3 + k, features), mg.Tanh(), name="g", **settings
    )
    trunk = [mg.Linear(features, 64)] if trunk is None else trunk
    D = mg.Sequential(*trunk, mg.Linear(64, 1), name="d", **settings)
    Q = mg.Sequential(mg.Linear(64, k), name="q", **settings)
    return kind(G, D, Q, mg.Normal(dim=3), categories=categories, continuous=continuous)


def nearest_mean(game: mg.InfoGAN, digits: ImageSet, order: Any) -> Any:
    """Let Q's category j be: of all classes' means, that of class order[j] is nearest.

    Returns:
        The nearest mean's class (T,) of each test image.
    """
    X, T = to_floats(digits.train), to_floats(digits.test)
    means = np.stack([X[digits.train_labels == k].mean(axis=0) for k in range(10)])  # (10, 64)
    named = game.recogniser.parameters.named()
    named["0.weight"][:, :10] = means[order].T
    named["0.bias"][0, :10] = -0.5 * (means[order] ** 2).sum(axis=1)
    named["0.bias"][0, 10:] = 1e6  # the means of the continuous codes are no categories
    return ((T[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)


class TestCategories:
    ORDER = (3, 1, 4, 0, 5, 9, 2, 6, 8, 7)

    def game(self) -> mg.InfoGAN:
        """The trunk's output is its input; while it learns, dropout would change that."""
        game = info(trunk=[mg.Linear(64, 64), mg.Dropout(0.9)])
        named = game.discriminator.parameters.named()
        named["0.weight"][:], named["0.bias"][:] = np.eye(64), 0.0
        return game

    def test_permuted_categories_are_matched(self, digits):
        game = self.game()
        nearest = nearest_mean(game, digits, list(self.ORDER))
        scores = score_codes(game, digits, 20)
        assert scores.category_classes == self.ORDER
        assert scores.category_accuracy == pytest.approx((nearest == digits.test_labels).mean())
        assert scores.category_accuracy > 0.8

    def test_they_are_matched_on_training_images_alone(self, digits):
        game = self.game()
        nearest_mean(game, digits, list(self.ORDER))
        wrong = dataclasses.replace(digits, test_labels=(digits.test_labels + 1) % 10)
        scores = score_codes(game, wrong, 20)
        assert scores.category_classes == self.ORDER
        assert scores.category_accuracy < 0.1

    def test_of_them_the_first_ten_thousand(self, digits, monkeypatch):
        game = self.game()
        nearest_mean(game, digits, list(self.ORDER))
        labels = digits.train_labels.copy()
        labels[700:] = (labels[700:] + 1) % 10
        assert code_scores.MATCHED == 10_000
        monkeypatch.setattr(code_scores, "MATCHED", 700)
        mixed = dataclasses.replace(digits, train_labels=labels)
        assert score_codes(game, mixed, 20).category_classes == self.ORDER

    def test_images_are_recognised_in_blocks(self, digits, monkeypatch):
        game = self.game()
        nearest_mean(game, digits, list(self.ORDER))
        whole = score_codes(game, digits, 20)
        taken, predict = [], mg.Sequential.predict

        def spy(self, X, condition=None):
            taken.append(len(X))
            return predict(self, X, condition)

        monkeypatch.setattr(code_scores, "BLOCK", 77)
        monkeypatch.setattr(mg.Sequential, "predict", spy)
        assert score_codes(game, digits, 20) == whole
        assert max(taken) == 77

    def test_matched_one_to_one(self):
        """Category 0 has most images of class 4, but category 1 would lose more without it."""
        categories = np.repeat([0, 0, 1, 1], [6, 5, 9, 1])
        labels = np.repeat([4, 2, 4, 7], [6, 5, 9, 1])
        assert match(categories, labels, 2).tolist() == [2, 4]

    @pytest.mark.parametrize("count", [2, 10, 13])
    def test_more_or_fewer_categories_than_classes(self, count, digits):
        labels = np.arange(100) % 10
        matched = match(labels % count, labels, count)
        assert sorted(matched[matched >= 0]) == sorted(range(10) if count > 2 else matched)
        assert (matched >= 0).sum() == min(count, 10)
        scores = score_codes(info(categories=count), digits, 20)
        left_over = [k for k in scores.category_classes if k is None]
        assert len(left_over) == max(0, count - 10)
        assert len(set(scores.category_classes) - {None}) == min(count, 10)
        assert ("none" in str(scores)) == bool(left_over)


def bars(x: Any, slant: Any, width: Any, size: int = 24) -> Any:
    """Images (n, size, size) uint8 of a bright bar through (x, the middle), of 16 rows."""
    rows = np.arange(4, size - 4)
    up = (size - 1) / 2 - rows  # (16,)
    centre = np.asarray(x)[:, None] + np.asarray(slant)[:, None] * up  # (n, 16)
    half = np.asarray(width)[:, None, None] / 2
    # The part of each pixel that the bar covers.
    pixels = np.arange(size)
    left = np.maximum(pixels - 0.5, centre[..., None] - half)
    right = np.minimum(pixels + 0.5, centre[..., None] + half)
    covered = np.zeros((len(centre), size, size))
    covered[:, rows] = np.clip(right - left, 0.0, 1.0)
    return np.rint(255 * covered).astype(np.uint8)


class TestMoments:
    def test_the_slant_of_sheared_bars(self):
        slants = np.array([-0.5, -0.2, 0.0, 0.3, 0.6])
        got, _ = slant_and_width(bars(np.full(5, 11.5), slants, np.full(5, 3.0)))
        np.testing.assert_allclose(got, slants, atol=2e-3)

    def test_to_the_right_is_positive(self):
        image = np.zeros((1, 5, 5), np.uint8)
        image[0, [0, 1, 2, 3], [3, 2, 1, 0]] = 200  # row 0 is the top: a slash
        assert slant_and_width(image)[0] == 1.0
        assert slant_and_width(image[:, :, ::-1])[0] == -1.0
        assert slant_and_width(image[:, ::-1])[0] == -1.0

    def test_the_width_of_bars(self):
        """sqrt((w^2 - 1) / 12) for w pixels."""
        image = np.zeros((4, 6, 9), np.uint8)
        for k, w in enumerate((1, 2, 5, 9)):
            image[k, 1:4, 9 - w :] = 77
        _, got = slant_and_width(image)
        np.testing.assert_allclose(got, np.sqrt((np.array([1, 2, 5, 9]) ** 2 - 1) / 12))

    def test_against_the_formula_of_any_image(self):
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (6, 7, 5), dtype=np.uint8)
        slant, width = slant_and_width(images)
        for k, image in enumerate(images):
            rows, x = np.indices(image.shape)
            C = np.cov(x.ravel(), -rows.ravel(), aweights=image.ravel(), ddof=0)
            assert slant[k] == pytest.approx(C[0, 1] / C[1, 1], rel=1e-12)
            assert width[k] == pytest.approx(np.sqrt(C[0, 0]), rel=1e-12)

    def test_place_and_brightness_make_no_difference(self):
        image = np.zeros((1, 28, 28), np.uint8)
        image[0, 2:9, 3:8] = np.random.default_rng(0).integers(0, 100, (7, 5))
        for other in (np.roll(image, (15, 17), axis=(1, 2)), image * 2):
            assert slant_and_width(other)[0] == pytest.approx(slant_and_width(image)[0], rel=1e-12)
            assert slant_and_width(other)[1] == pytest.approx(slant_and_width(image)[1], rel=1e-12)

    def test_images_without_a_slant_or_a_width(self):
        images = np.zeros((3, 4, 4), np.uint8)
        images[1, 2] = 9  # a row
        images[2, :, 1] = 9  # a column
        slant, width = slant_and_width(images)
        np.testing.assert_array_equal(slant, [np.nan, np.nan, 0.0])
        np.testing.assert_array_equal(width, [np.nan, np.sqrt(15 / 12), 0.0])
        assert [len(one) for one in slant_and_width(images[:0])] == [0, 0]
        with pytest.raises(mg.DataError, match=r"^images must be \(n, h, w\), not \(4, 4\)$"):
            slant_and_width(images[0])

    @pytest.mark.parametrize("block", [1, 3, 5, 6])
    def test_in_blocks(self, block, monkeypatch):
        images = np.random.default_rng(0).integers(0, 256, (6, 7, 5), dtype=np.uint8)
        whole = slant_and_width(images)
        monkeypatch.setattr(code_scores, "BLOCK", block)
        np.testing.assert_array_equal(slant_and_width(images), whole)


class TestCorrelation:
    def test_against_scipy(self):
        random = np.random.default_rng(0)
        code, noise = random.uniform(-1, 1, (2, 50)).astype(np.float32)
        values = noise - 0.5 * code
        expected = stats.pearsonr(code, values)[0]
        assert expected < -0.3
        assert correlation(code, values) == pytest.approx(expected, rel=1e-5)
        holes = values.copy()
        holes[::7] = np.nan
        known = np.isfinite(holes)
        expected = stats.pearsonr(code[known], values[known])[0]
        assert correlation(code, holes) == pytest.approx(expected, rel=1e-5)

    def test_what_does_not_vary_has_none(self):
        line = np.arange(5.0)
        assert correlation(line, np.full(5, 3.3)) == 0.0
        assert correlation(np.full(5, 3.3), line) == 0.0
        assert correlation(line, np.full(5, np.nan)) == 0.0
        assert correlation(line, np.where(line == 2, line, np.nan)) == 0.0

    def test_the_ceiling_is_reached_by_what_varies_within_the_classes(self):
        """A measure = a part that the class decides + a part that a code decides."""
        random = np.random.default_rng(0)
        labels = np.repeat([0, 1, 2], [50, 30, 120])
        code = random.uniform(-1, 1, 200)
        for k in range(3):  # exactly independent of the class, in its first two moments
            own = code[labels == k]
            code[labels == k] = (own - own.mean()) / own.std()
        values = 2.0 * code + np.array([1.0, -4.0, 2.5])[labels]
        assert ceiling(values, labels) == pytest.approx(correlation(code, values), rel=1e-12)
        assert 0.3 < ceiling(values, labels) < 0.9
        holes = np.append(values, np.nan)
        assert ceiling(holes, np.append(labels, 1)) == ceiling(values, labels)

    def test_the_ceiling_of_one_class_and_of_the_class_alone(self):
        values, labels = np.arange(6.0), np.zeros(6, int)
        assert ceiling(values, labels) == 1.0
        assert ceiling(values, np.arange(6)) == 0.0
        assert ceiling(np.ones(6), labels) == 0.0
        assert ceiling(np.full(6, np.nan), labels) == 0.0


class TestContinuousCodes:
    @pytest.fixture
    def images(self) -> ImageSet:
        """Upright and slanted bars; the class decides where they are."""
        random = np.random.default_rng(0)
        labels = np.arange(200, dtype=np.uint8) % 10
        pixels = bars(7 + labels, *random.uniform([[-0.4], [2.0]], [[0.4], [6.0]], (2, 200)))
        return ImageSet("idx", pixels, labels, pixels, labels, "somewhere")

    @staticmethod
    def draw(Z: Any, codes: Any) -> Any:
        """Code 0 is the width, the narrower the larger; code 1 the slant."""
        category, (c0, c1) = codes[:, :10].argmax(axis=1), codes[:, 10:].T
        return to_floats(bars(7 + category, 0.1 * c1, 4 - 2 * c0))

    def test_codes_that_are_slant_and_width(self, images):
        scores = score_codes(info(draw=self.draw, features=24 * 24), images, 300)
        assert (scores.dataset, scores.n) == ("idx", 300)
        assert scores.slant[1] > 0.99
        assert scores.width[0] < -0.95
        assert abs(scores.slant[0]) < 0.15
        assert abs(scores.width[1]) < 0.15

    def test_the_correlations_are_those_of_the_samples(self, images):
        game = info(features=24 * 24)
        scores = score_codes(game, images, 60, seed=3)
        codes = game.draw_condition(60, seed=3)[:, 10:]
        measured = slant_and_width(to_pixels(game.sample(60, seed=3), (24, 24)))
        for got, values in zip((scores.slant, scores.width), measured, strict=True):
            expected = [np.corrcoef(code, values)[0, 1] for code in codes.T]
            assert got == pytest.approx(expected, rel=1e-5)
        real = [ceiling(values, images.test_labels) for values in slant_and_width(images.test)]
        assert [scores.slant_ceiling, scores.width_ceiling] == real
        assert scores == score_codes(game, images, 60, seed=3)
        assert scores != score_codes(game, images, 60, seed=4)

    def test_without_continuous_codes(self, digits):
        scores = score_codes(info(continuous=0), digits, 20)
        assert scores.slant == scores.width == ()
        assert "correlation" not in str(scores)

    def test_as_text_and_as_json(self, digits):
        scores = score_codes(info(continuous=3), digits, 20)
        numbers = json.loads(json.dumps(scores.to_dict()))
        assert numbers["category_classes"] == [*scores.category_classes]
        assert numbers["slant"] == [*scores.slant]
        assert numbers["category_accuracy"] == scores.category_accuracy
        text = str(scores)
        assert f"{100 * scores.category_accuracy:.2f} % of the test images" in text
        assert f"0: {scores.category_classes[0]}  1: {scores.category_classes[1]}  " in text
        for j in range(3):
            (line,) = [line.split() for line in text.splitlines() if f"code {j}" in line]
            assert line == ["code", str(j), f"{scores.slant[j]:.3f}", f"{scores.width[j]:.3f}"]
        (line,) = [line.split() for line in text.splitlines() if "    at most" in line]
        assert line[2:] == [f"{scores.slant_ceiling:.3f}", f"{scores.width_ceiling:.3f}"]

    def test_what_cannot_be_scored(self, digits):
        with pytest.raises(mg.ConfigError, match=r"^a ConditionalGAN has no codes"):
            score_codes(conditional(), digits)
        with pytest.raises(mg.ConfigError, match=r"not a population$"):
            score_codes(info(seed=(0, 1)), digits)
        with pytest.raises(mg.ConfigError, match=r"n must be an integer >= 2, not 1$"):
            score_codes(info(), digits, 1)
        with pytest.raises(mg.DataError, match=r"makes 63 features; images of .* have 64$"):
            score_codes(info(features=63), digits)
        broken = info(draw=lambda Z, codes: np.full((len(Z), 64), np.inf))
        with pytest.raises(mg.DataError, match="NaN or infinity"):
            score_codes(broken, digits, 20)


class TestCommand:
    @pytest.fixture(autouse=True)
    def _quick_classifiers(self, judge, cache, monkeypatch):
        monkeypatch.setattr(forms, "load_classifier", lambda images: judge)
        monkeypatch.setattr(class_scores, "GAN_TRAIN", dataclasses.replace(QUICK, steps=20))
        monkeypatch.setenv(CACHE_DIR, str(cache))

        class Sum:
            """In place of the scores of images, which take longer: the sum of the samples."""

            def __init__(self, samples: Any, images: ImageSet, judge: Any) -> None:
                self.sum = float(samples.sum())

            def to_dict(self) -> dict[str, Any]:
                return {"sum": self.sum}

            def __str__(self) -> str:
                return f"sum {self.sum}"

        monkeypatch.setattr(forms, "score_images", Sum)

    @staticmethod
    def run(game: mg.Game, digits: ImageSet, folder: Any) -> Any:
        """A run of one step."""
        labels = digits.train_labels if game.takes_labels else None
        data = mg.Images(digits.train, labels=labels, dataset="digits")
        mg.Trainer(game, data, folder, batch=20, progress=False).fit(steps=1)
        return folder

    @pytest.mark.parametrize("kind", ["conditional", "info"])
    def test_scores_follow_those_of_the_images(self, kind, digits, judge, tmp_path, capsys):
        folder = self.run(conditional() if kind == "conditional" else info(), digits, tmp_path)
        words = ["score", str(folder), "--n", "40", "--seed", "2"]
        assert main(words) == 0
        text = capsys.readouterr().out
        kept = json.loads((folder / "scores.json").read_text())
        game = mg.load_run(folder).gan
        if kind == "conditional":
            more = score_classes(game, digits, judge, 40, 2, progress=False)
        else:
            more = score_codes(game, digits, 40, 2)
        total = float(game.sample(40, seed=2).sum())
        assert text == f"sum {total}\n\n{more}\n"
        assert kept == {"step": 1, "n": 40, "seed": 2, "sum": total, **more.to_dict()}
        assert main([*words, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == kept
        assert main(["show", str(folder)]) == 0
        shown = "gan_train_real" if kind == "conditional" else "category_accuracy"
        assert f"{kept[shown]:.4g}" in capsys.readouterr().out

    def test_too_few_samples_of_a_class(self, digits, tmp_path, capsys):
        folder = self.run(conditional(), digits, tmp_path)
        assert main(["score", str(folder), "--n", "19"]) == 2
        assert "two samples of each of the 10 classes" in capsys.readouterr().err
        assert not (folder / "scores.json").exists()
