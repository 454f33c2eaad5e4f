"""Scores of images, against formulas worked out by hand and other libraries' answers."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import safetensors.numpy
from scipy import linalg, stats

import minigan as mg
from minigan.data import ImageSet
from minigan.data.images import to_floats
from minigan.evaluation import classifier as judges
from minigan.evaluation import image_scores, load_classifier, score_images
from minigan.evaluation.classifier import ClassifierRecipe, train_classifier
from minigan.evaluation.image_scores import (
    classifier_score,
    frechet_distance,
    nearest_distances,
    parzen_log_likelihood,
    speckle,
)
from minigan.nn import Pass

QUICK = ClassifierRecipe(channels=(8, 16), features=16, steps=150, lr=4e-3)
random = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _the_same_numbers_for_each_test():
    global random
    random = np.random.default_rng(0)


class TestFrechet:
    def test_of_two_normal_distributions_in_one_dimension(self):
        # (m1 - m2)^2 + (s1 - s2)^2
        A = stats.norm.ppf((np.arange(4000) + 0.5) / 4000)[:, None]
        B = 3.0 + 2.0 * A
        expected = 9.0 + (B.std(ddof=1) - A.std(ddof=1)) ** 2
        assert frechet_distance(A, B) == pytest.approx(expected, rel=1e-9)

    def test_against_the_matrix_square_root(self):
        A = random.normal(size=(300, 6)) @ random.normal(size=(6, 6))
        B = random.normal(size=(200, 6)) @ random.normal(size=(6, 6)) + 1.0
        root = linalg.sqrtm(np.cov(A.T) @ np.cov(B.T)).real
        shift = A.mean(0) - B.mean(0)
        expected = shift @ shift + np.trace(np.cov(A.T) + np.cov(B.T) - 2.0 * root)
        assert frechet_distance(A, B) == pytest.approx(expected, rel=1e-8)
        assert frechet_distance(B, A) == pytest.approx(expected, rel=1e-8)

    def test_zero_for_the_same(self):
        A = random.normal(size=(50, 80))  # fewer samples than features: a singular covariance
        assert abs(frechet_distance(A, A)) < 1e-5

    def test_a_shift_counts_with_its_square(self):
        A = random.normal(size=(50, 4))
        assert frechet_distance(A, A + np.array([3.0, 0.0, 4.0, 0.0])) == pytest.approx(25.0)

    @pytest.mark.parametrize("shape", [(), (4,), (9, 3), (1, 4), (0, 4), (9, 4, 2)])
    def test_features_are_rows_of_one_length_and_two_at_least(self, shape):
        A, B = random.normal(size=(9, 4)), random.normal(size=shape)
        assert frechet_distance(A, A[:2]) > 0.0
        for one, other in ((A, B), (B, A)):
            with pytest.raises(mg.DataError, match=r"^features must be \(n >= 2, d\), not \("):
                frechet_distance(one, other)

    def test_in_float64_whatever_the_features_are_in(self):
        A = (1000.0 + random.normal(size=(300, 3))).astype("float32")
        B = (1001.0 + random.normal(size=(200, 3))).astype("float32")
        assert frechet_distance(A, B) == frechet_distance(A.astype("float64"), B.astype("float64"))


class TestClassifierScore:
    def test_sure_and_varied_is_the_number_of_classes(self):
        assert classifier_score(np.tile(np.eye(10), (7, 1))) == pytest.approx(10.0)

    def test_always_the_same_is_one(self):
        assert classifier_score(np.tile(np.eye(10)[3], (7, 1))) == pytest.approx(1.0)
        assert classifier_score(np.full((7, 10), 0.1)) == pytest.approx(1.0)

    def test_against_scipy(self):
        P = random.dirichlet(np.ones(5), size=40)
        expected = np.exp(np.mean([stats.entropy(p, P.mean(0)) for p in P]))
        assert classifier_score(P) == pytest.approx(expected, rel=1e-12)


class TestParzen:
    def images(self, n):
        return random.integers(0, 256, (n, 3, 4), dtype=np.uint8)

    def test_against_the_formula(self):
        samples, validation, test = self.images(30), self.images(9), self.images(11)
        got, error, width = parzen_log_likelihood(samples, validation, test)
        x, s = test.reshape(11, 12) / 255.0, samples.reshape(30, 12) / 255.0
        each = [
            np.log(np.mean([np.prod(stats.norm.pdf(one, centre, width)) for centre in s]))
            for one in x
        ]
        assert got == pytest.approx(np.mean(each), rel=1e-4)
        assert error == pytest.approx(np.std(each) / np.sqrt(11), rel=1e-3)

    def test_the_width_is_chosen_on_the_validation_images(self):
        # Windows that sit on the images can be narrow; windows far from them must be wide.
        samples = self.images(20)
        assert parzen_log_likelihood(samples, samples, self.images(5))[2] == pytest.approx(0.1)
        far = np.full((20, 3, 4), 255, np.uint8)
        dark = np.zeros((5, 3, 4), np.uint8)
        assert parzen_log_likelihood(far, dark, samples)[2] == pytest.approx(1.0)


@pytest.mark.parametrize("block", [1, 7, 49, 50, 51])
def test_nearest_distances(block, monkeypatch):
    monkeypatch.setattr(image_scores, "BLOCK", block)  # training images at a time
    train = random.integers(0, 256, (50, 3, 4), dtype=np.uint8)
    some = np.concatenate([train[[7, 49]], random.integers(0, 256, (4, 3, 4), dtype=np.uint8)])
    far = np.linalg.norm(
        some.reshape(6, 1, 12) / 255.0 - train.reshape(1, 50, 12) / 255.0, axis=2
    ).min(axis=1)
    np.testing.assert_allclose(nearest_distances(some, train), far, atol=1e-3)
    assert far[0] == far[1] == 0.0


def test_parzens_width_is_that_of_the_highest_mean():
    """One validation image that sits on a sample does not decide alone."""
    samples = np.zeros((4, 3, 4), np.uint8)
    validation = np.stack([samples[0], *[np.full((3, 4), 40 * k, np.uint8) for k in range(1, 6)]])
    test = random.integers(0, 256, (7, 3, 4), dtype=np.uint8)
    got, error, width = parzen_log_likelihood(samples, validation, test)

    def each(images: np.ndarray, width: float) -> np.ndarray:
        pixels = images.reshape(len(images), 12) / 255.0
        return stats.norm.logpdf(pixels, 0.0, width).sum(axis=1)

    means = [each(validation, w).mean() for w in image_scores.PARZEN_WIDTHS]
    highest = [each(validation, w).max() for w in image_scores.PARZEN_WIDTHS]
    assert np.argmax(means) != np.argmax(highest)
    assert width == image_scores.PARZEN_WIDTHS[np.argmax(means)]
    assert got == pytest.approx(each(test, width).mean(), rel=1e-4)
    assert error == pytest.approx(each(test, width).std() / np.sqrt(7), rel=1e-3)


@pytest.mark.parametrize("rows", [1, 7, 60])
def test_parzen_windows_in_blocks(rows, monkeypatch):
    """Each image is scored alone, so the size of a block makes no difference."""
    samples, images = random.integers(0, 256, (2, 60, 3, 4), dtype=np.uint8)
    whole = image_scores._windows(samples, images, np.array([0.2, 0.5]))
    assert whole.shape == (2, 60)
    monkeypatch.setattr(image_scores, "WINDOW_BLOCK", 60 * rows)
    blocks = image_scores._windows(samples, images, np.array([0.2, 0.5]))
    np.testing.assert_allclose(blocks, whole, rtol=1e-5, atol=1e-4)


def test_speckle_counts_lone_bright_pixels():
    image = np.zeros((1, 8, 8), np.uint8)
    assert speckle(image) == 0.0
    image[0, 0, 0] = image[0, 7, 3] = 255  # alone, also at the border
    image[0, 3, 3] = image[0, 4, 4] = 128  # neighbours across a corner
    image[0, 6, 6], image[0, 6, 7] = 200, 127  # alone: 127 is not bright
    assert speckle(image) == 3.0
    assert speckle(np.concatenate([image, np.zeros_like(image)])) == 1.5


def metadata_of(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file."""
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]


@pytest.fixture(scope="module")
def digits() -> ImageSet:
    return mg.load_images("digits")


@pytest.fixture(scope="module")
def judge(digits, tmp_path_factory):
    return load_classifier(digits, tmp_path_factory.mktemp("judge"), QUICK, progress=False)


class TestJudge:
    def test_learns_and_is_kept(self, digits, tmp_path, monkeypatch):
        first = load_classifier(digits, tmp_path, QUICK, progress=False)
        assert first.accuracy > 0.85
        (file,) = (tmp_path / "classifiers").iterdir()
        assert file.name.startswith("digits-")

        def must_not_train(*args):
            raise AssertionError("trained again")

        monkeypatch.setattr(judges, "train_classifier", must_not_train)
        second = load_classifier(digits, tmp_path, QUICK, progress=False)
        assert second.accuracy == first.accuracy
        X = to_floats(digits.test)
        np.testing.assert_array_equal(first.features(X), second.features(X))
        P = second.probabilities(second.features(X))
        assert (P.argmax(axis=1) == digits.test_labels).mean() == pytest.approx(first.accuracy)
        np.testing.assert_allclose(P.sum(axis=1), 1.0)

    def test_other_recipe_or_other_data_is_another_file(self, digits, tmp_path, monkeypatch):
        small = dataclasses.replace(QUICK, steps=2)
        load_classifier(digits, tmp_path, small, progress=False)
        load_classifier(digits, tmp_path, dataclasses.replace(small, seed=1), progress=False)
        changed = digits.train.copy()
        changed[0, 0, 0] ^= 255
        other = dataclasses.replace(digits, train=changed)
        load_classifier(other, tmp_path, small, progress=False)
        relabelled = dataclasses.replace(digits, test_labels=digits.test_labels[::-1].copy())
        load_classifier(relabelled, tmp_path, small, progress=False)
        assert len(list((tmp_path / "classifiers").iterdir())) == 4
        monkeypatch.setattr(judges, "FORMAT", "another")
        load_classifier(digits, tmp_path, small, progress=False)
        assert len(list((tmp_path / "classifiers").iterdir())) == 5

    def test_a_file_of_another_recipe_is_not_taken(self, digits, tmp_path):
        """Nor is one with an impossible accuracy: the key counts, not the file name."""
        recipe = ClassifierRecipe(channels=(4,), features=5, steps=1)
        load_classifier(digits, tmp_path, recipe, progress=False)
        (file,) = (tmp_path / "classifiers").iterdir()
        good = file.read_bytes()
        load_classifier(digits, tmp_path, dataclasses.replace(recipe, seed=1), progress=False)
        (other,) = set((tmp_path / "classifiers").iterdir()) - {file}
        other.replace(file)  # of the same shapes
        load_classifier(digits, tmp_path, recipe, progress=False)
        assert file.read_bytes() == good
        tensors, metadata = safetensors.numpy.load(good), json.loads(metadata_of(good)["judge"])
        for changed in (
            {"accuracy": -0.1},
            {"accuracy": 1.1},
            {"accuracy": "nan"},
            {"key": metadata["key"][:-1]},
        ):
            judge = {"judge": json.dumps(metadata | changed)}
            file.write_bytes(safetensors.numpy.save(tensors, metadata=judge))
            load_classifier(digits, tmp_path, recipe, progress=False)
            assert file.read_bytes() == good, changed
        judge = {"judge": json.dumps(metadata)}
        for name, array in tensors.items():
            for wrong in (array.astype("float64"), array[..., :-1], array.T):
                damaged = tensors | {name: np.ascontiguousarray(wrong)}
                if wrong.shape == array.shape and wrong.dtype == array.dtype:
                    continue
                file.write_bytes(safetensors.numpy.save(damaged, metadata=judge))
                load_classifier(digits, tmp_path, recipe, progress=False)
                assert file.read_bytes() == good, name
        for damaged in (tensors | {"more": np.zeros(1)}, dict([*tensors.items()][1:])):
            file.write_bytes(safetensors.numpy.save(damaged, metadata=judge))
            load_classifier(digits, tmp_path, recipe, progress=False)
            assert file.read_bytes() == good

    @pytest.mark.parametrize("damage", ["truncated", "empty", "another", "not finite"])
    def test_a_damaged_file_is_made_again(self, damage, digits, tmp_path):
        recipe = dataclasses.replace(QUICK, steps=20)
        load_classifier(digits, tmp_path, recipe, progress=False)
        (file,) = (tmp_path / "classifiers").iterdir()
        good = file.read_bytes()
        if damage == "another":
            load_classifier(
                digits, tmp_path, dataclasses.replace(recipe, channels=(8, 8)), progress=False
            )
            (other,) = set((tmp_path / "classifiers").iterdir()) - {file}
            other.replace(file)
        elif damage == "not finite":
            file.write_bytes(good[:-4] + np.float32("nan").tobytes())
        else:
            file.write_bytes(good[:-9] if damage == "truncated" else b"")
        load_classifier(digits, tmp_path, recipe, progress=False)
        assert file.read_bytes() == good

    def test_the_rate_falls_to_zero(self, digits, monkeypatch):
        optimizers = []

        class Recorded(mg.Adam):
            def __init__(self, *args, **options):
                super().__init__(*args, **options)
                optimizers.append(self)

        monkeypatch.setattr(judges, "Adam", Recorded)
        train_classifier(digits, dataclasses.replace(QUICK, steps=50), progress=False)
        assert optimizers[0].step_count == 50
        assert optimizers[0].rate == pytest.approx(QUICK.lr / 50)

    def test_training_computes_nothing_that_is_not_read(self, digits, monkeypatch, capsys):
        asked = []
        backward = Pass.backward

        def spy(self, dY, **options):
            asked.append(options)
            return backward(self, dY, **options)

        monkeypatch.setattr(Pass, "backward", spy)
        recipe = dataclasses.replace(QUICK, steps=3)
        train_classifier(digits, recipe, progress=False)
        assert asked == [{"input_grad": False}] * 3
        assert capsys.readouterr() == ("", "")  # and no bar is shown

    def test_batches_are_moved(self, monkeypatch):
        """Of 32 pixels by up to two, in each direction; what comes in is black."""
        seen = set()
        forward = Pass.forward

        def spy(self, X, train=True):
            if train:
                image = X.reshape(32, 32).copy()
                place = np.unravel_index(image.argmax(), image.shape)
                assert image[place] == 1.0
                image[place] = -1.0
                assert (image == -1.0).all()
                seen.add(place)
            return forward(self, X, train=train)

        monkeypatch.setattr(Pass, "forward", spy)
        pixels = np.zeros((3, 32, 32), np.uint8)
        pixels[:, 10, 20] = 255
        labels = np.arange(3, dtype=np.uint8)
        images = ImageSet("idx", pixels, labels, pixels, labels, "somewhere")
        recipe = ClassifierRecipe(channels=(1,), features=1, steps=200, batch=1)
        train_classifier(images, recipe, progress=False)
        assert seen == {(y, x) for y in range(8, 13) for x in range(18, 23)}

    def test_says_that_it_trains(self, digits, tmp_path, capsys):
        load_classifier(digits, tmp_path, dataclasses.replace(QUICK, steps=2))
        assert "training a classifier of" in (said := capsys.readouterr().err)
        assert "once: about 10 seconds of an idle core" in said

    def test_says_how_long_it_takes(self, digits, tmp_path, capsys, monkeypatch):
        """Seconds of a core are counted by the multiplications of its layers."""
        recipe = ClassifierRecipe(channels=(3, 5), features=7, steps=2, batch=11)
        convolutions = 4 * 4 * (5 * 5 * 1) * 3 + 2 * 2 * (5 * 5 * 3) * 5
        linear = (2 * 2 * 5) * 7 + 7 * 10
        monkeypatch.setattr(judges, "PACE", 50.0 / (2 * 11 * (convolutions + linear)))
        load_classifier(digits, tmp_path, recipe)
        assert "once: about 50 seconds of an idle core" in capsys.readouterr().err

    @pytest.mark.parametrize("size", [(28, 28), (7, 12), (1, 2)])
    def test_images_of_any_size(self, size, tmp_path):
        """Each convolution halves the size and rounds up."""
        pixels = random.integers(0, 256, (20, *size), dtype=np.uint8)
        labels = np.arange(20, dtype=np.uint8) % 10
        images = ImageSet("idx", pixels, labels, pixels, labels, "somewhere")
        recipe = ClassifierRecipe(channels=(2, 3), features=5, steps=2, batch=6)
        judge = load_classifier(images, tmp_path, recipe, progress=False)
        height, width = (-(-n // 4) for n in size)
        weights = [array.shape for array in judge.body.parameters.named().values()]
        assert (height * width * 3, 5) in weights
        assert judge.features(to_floats(pixels)).shape == (20, 5)

    @pytest.mark.slow
    def test_reads_mnist(self, mnist_folder):
        """The bar: 99.3 % of the test set."""
        accuracy = train_classifier(mg.load_images("mnist", mnist_folder), progress=False)[1]
        assert accuracy >= 0.993


class TestScores:
    def test_real_images_score_like_real_images(self, digits, judge):
        scores = score_images(to_floats(digits.train[:700]), digits, judge)
        assert scores.frechet < 2.0 * scores.frechet_floor
        assert scores.classifier_score == pytest.approx(scores.classifier_score_real, rel=0.1)
        assert scores.classes == 10
        assert sum(scores.histogram) == pytest.approx(1.0)
        assert scores.nearest < 1e-6  # they are copies, and it shows
        assert scores.nearest_real > scores.nearest_min_real > 0.0

    def test_noise_scores_badly(self, digits, judge):
        noise = random.uniform(-1, 1, (700, 64))
        scores = score_images(noise, digits, judge)
        assert scores.frechet > 10.0 * scores.frechet_floor
        assert scores.nearest > 1.5 * scores.nearest_real
        assert scores.speckle > 2.0 * scores.speckle_real + 0.5
        assert scores.parzen < scores.parzen_real

    def test_one_class_is_told(self, digits, judge):
        threes = to_floats(digits.train[digits.train_labels == 3])
        scores = score_images(threes, digits, judge)
        assert scores.classes <= 6
        assert scores.histogram[3] > 0.85
        assert scores.classifier_score < 2.0

    def test_which_images_each_measure_sees(self, digits, judge, monkeypatch):
        """The floor has as many images as there are samples; Parzen's splits never mix."""
        calls = []
        original = image_scores.parzen_log_likelihood

        def spy(samples, validation, test):
            calls.append((samples, validation, test))
            return original(samples, validation, test)

        monkeypatch.setattr(image_scores, "parzen_log_likelihood", spy)
        samples = to_floats(digits.test[:200])
        few = score_images(samples, digits, judge)
        (made, validation, test), (fitted, same_validation, same_test) = calls
        np.testing.assert_array_equal(made, digits.test[:200])
        np.testing.assert_array_equal(validation, digits.train[1197:])
        assert same_validation is validation
        assert test is same_test is digits.test
        held_out = {image.tobytes() for image in digits.train[1197:]}
        assert len(fitted) > 150
        assert not held_out & {image.tobytes() for image in fitted}
        many = score_images(to_floats(digits.test), digits, judge)
        assert few.frechet_floor != many.frechet_floor

    def test_samples_of_images_that_are_not_square(self, digits, judge):
        flat = dataclasses.replace(digits, train=digits.train[:, :5], test=digits.test[:, :5])
        for features in (64, 25, 39):
            with pytest.raises(mg.DataError, match=r"samples must be \(n >= 2, 40\)"):
                score_images(np.zeros((9, features)), flat, judge)

    def test_of_many_images_the_first_thousand_are_looked_up(self, digits, judge, monkeypatch):
        asked = []

        def spy(pixels, train):
            asked.append((len(pixels), pixels[0].tobytes(), len(train)))
            return np.arange(len(pixels), dtype=float)

        monkeypatch.setattr(image_scores, "nearest_distances", spy)
        scores = score_images(to_floats(digits.train[:1200]), digits, judge)
        first, test = digits.train[0].tobytes(), digits.test[0].tobytes()
        assert asked == [(1000, first, 1437), (360, test, 1437)]
        assert (scores.nearest, scores.nearest_min) == (499.5, 0.0)
        assert (scores.nearest_real, scores.nearest_min_real) == (179.5, 0.0)

    def test_every_score_by_hand(self, digits, judge):
        """Each from the features, classes and pixels that it is said to be of."""
        samples = digits.test[:300]
        scores = score_images(to_floats(samples), digits, judge)
        made, real = (judge.features(to_floats(X)) for X in (samples, digits.test))
        order = np.argsort(mg.Stream(0, "scores/train").words(1437)[0], kind="stable")
        train = judge.features(to_floats(digits.train[order[:300]]))
        P, Q = judge.probabilities(made), judge.probabilities(real)
        nearest = nearest_distances(samples, digits.train)
        near_real = nearest_distances(digits.test, digits.train)
        validation = digits.train[1197:]
        parzen, error, width = parzen_log_likelihood(samples, validation, digits.test)
        fitted = digits.train[[k for k in order if k < 1197][:300]]
        shares = np.bincount(P.argmax(axis=1), minlength=10) / 300
        expected = image_scores.ImageScores(
            dataset="digits",
            n=300,
            accuracy=judge.accuracy,
            frechet=frechet_distance(made, real),
            frechet_floor=frechet_distance(train, real),
            classifier_score=classifier_score(P),
            classifier_score_real=classifier_score(Q),
            histogram=tuple(shares),
            classes=int((shares >= 0.01).sum()),
            speckle=speckle(samples),
            speckle_real=speckle(digits.test),
            nearest=float(np.median(nearest)),
            nearest_real=float(np.median(near_real)),
            nearest_min=float(nearest.min()),
            nearest_min_real=float(near_real.min()),
            parzen=parzen,
            parzen_error=error,
            parzen_width=width,
            parzen_real=parzen_log_likelihood(fitted, validation, digits.test)[0],
        )
        assert scores.histogram == expected.histogram
        assert scores.dataset == expected.dataset
        assert type(scores.histogram[0]) is float
        numbers = {k: x for k, x in vars(expected).items() if isinstance(x, (int, float))}
        assert len(numbers) == 17
        assert {name: getattr(scores, name) for name in numbers} == pytest.approx(numbers, rel=1e-9)

    def test_one_copy_among_others_is_the_smallest_distance(self, digits, judge):
        mixed = np.concatenate([random.uniform(-1, 1, (60, 64)), to_floats(digits.train[:1])])
        scores = score_images(mixed, digits, judge)
        assert scores.nearest_min < 1e-6
        assert scores.nearest > 1.0

    def test_a_class_is_present_from_one_in_a_hundred(self, digits, judge, monkeypatch):
        P = np.eye(10)[[0] * 97 + [1] * 2 + [2]]  # 97 %, 2 %, 1 %
        monkeypatch.setattr(judge, "probabilities", lambda features: P)
        assert score_images(to_floats(digits.train[:100]), digits, judge).classes == 3
        P = np.eye(10)[[0] * 98 + [1] * 2]
        monkeypatch.setattr(judge, "probabilities", lambda features: P)
        assert score_images(to_floats(digits.train[:100]), digits, judge).classes == 2

    def test_as_text_and_as_json(self, digits, judge):
        scores = score_images(to_floats(digits.train[:50]), digits, judge)
        assert json.loads(json.dumps(scores.to_dict()))["n"] == 50
        for words in ("Fréchet", "classifier score", "speckle", "nearest", "Parzen", "poor"):
            assert words in str(scores)

    @pytest.mark.parametrize(
        "samples",
        [
            np.zeros((5, 63)),
            np.zeros((1, 64)),
            np.zeros(64),
            np.full((5, 64), np.nan),
            np.full((5, 64), "x"),
        ],
    )
    def test_what_cannot_be_scored(self, samples, digits, judge):
        with pytest.raises(mg.DataError, match=r"^(the )?samples (must be|hold)"):
            score_images(samples, digits, judge)

    @pytest.mark.slow
    def test_real_mnist_has_the_parzen_likelihood_of_the_literature(self, mnist_folder):
        """Training images as samples: Bengio et al. 2013 and others give about 240 nats."""
        images = mg.load_images("mnist", mnist_folder)
        got, error, width = parzen_log_likelihood(
            images.train[:10_000], images.train[50_000:51_000], images.test
        )
        assert 230.0 < got < 250.0
        assert 1.5 < error < 2.5
        assert width == pytest.approx(10 ** (-7 / 9), rel=1e-6)
