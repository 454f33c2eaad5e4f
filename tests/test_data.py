"""Where real samples come from."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from harness import on_samples, registered_only_here
from scipy import optimize, stats

import minigan as mg
from minigan.config import rebuild
from minigan.data import samples
from minigan.data.source import require_complete


def test_gaussian_has_the_mean_and_spread_it_names():
    out = np.empty((200_000, 1), "float32")
    mg.Gaussian(4.0, 1.25, seed=0).next_batch(out)
    assert abs(out.mean() - 4.0) < 0.02
    assert abs(out.std() - 1.25) < 0.01


def test_gaussian_continues_from_a_position_and_from_a_config():
    data = mg.Gaussian(seed=3)
    out, again = np.empty((7, 1), "float32"), np.empty((7, 1), "float32")
    data.next_batch(out)
    state = data.state()
    data.next_batch(out)
    twin = rebuild("data", data.to_config(), "cpu")
    twin.load_state(state)
    twin.next_batch(again)
    np.testing.assert_array_equal(out, again)


def served(data: mg.Samples, batch: int, batches: int) -> np.ndarray:
    out = np.empty((batch, data.features), "float32")
    rows = []
    for _ in range(batches):
        data.next_batch(out)
        rows.append(out.copy())
    return np.concatenate(rows)


def test_every_sample_is_served_once_an_epoch_in_a_new_order():
    X = np.arange(10.0)[:, None]
    rows = served(mg.Samples(X, seed=1), 4, 5)[:, 0]  # two epochs of ten in five batches of four
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert list(rows[:10]) != list(rows[10:])
    assert list(rows[:10]) != list(range(10))


@pytest.mark.parametrize("batch", [1, 3, 10, 25])
def test_order_depends_on_seed_and_epoch_alone(batch):
    X = np.arange(10.0)[:, None]
    whole = served(mg.Samples(X, seed=1), 1, 100)[:, 0]
    np.testing.assert_array_equal(served(mg.Samples(X, seed=1), batch, 4)[:, 0], whole[: 4 * batch])
    assert (served(mg.Samples(X, seed=2), 10, 1)[:, 0] != whole[:10]).any()
    resumed = mg.Samples(X, seed=1)
    resumed.load_state({"position": 17})
    np.testing.assert_array_equal(served(resumed, batch, 2)[:, 0], whole[17 : 17 + 2 * batch])


def test_going_back_serves_the_same_again():
    """A position is the whole state, also of an object that has been elsewhere."""
    X = np.arange(10.0)[:, None]
    whole = served(mg.Samples(X, seed=1), 1, 60)[:, 0]
    data = mg.Samples(X, seed=1)
    for position in (35, 0, 9, 10, 29, 28, 11, 50, 5, 20, 19):
        data.load_state({"position": position})
        assert data.state() == {"position": position}
        np.testing.assert_array_equal(served(data, 3, 2)[:, 0], whole[position : position + 6])
        assert data.state() == {"position": position + 6}


def test_an_index_is_what_a_batch_would_hold():
    X = np.arange(10.0)[:, None]
    rows, index = mg.Samples(X, seed=1), mg.Samples(X, seed=1)
    for count in (4, 7, 1, 25):
        np.testing.assert_array_equal(served(rows, count, 1)[:, 0], X[index.next_index(count), 0])
        assert index.position == rows.position


@pytest.mark.parametrize("n", [0, 1, 3, 4, 9, 10, 99])
def test_reference_samples_are_spread_evenly_over_the_data(n):
    """Sorted data, say: the first ones alone would be of one kind."""
    X = np.arange(20.0).reshape(10, 2)
    samples = mg.Samples(X, seed=1)
    images = mg.Images(np.arange(10, dtype=np.uint8)[:, None, None], seed=1)
    taken = {0: [], 1: [0], 3: [0, 3, 6], 4: [0, 2, 5, 7], 9: [0, 1, 2, 3, 4, 5, 6, 7, 8]}
    rows = taken.get(n, [*range(10)])
    for data in (samples, images):
        data.load_state({"position": 3})
        reference = data.reference(n)
        assert reference.shape == (len(rows), data.features)
        assert reference.dtype == np.float32
        assert data.state() == {"position": 3}
    np.testing.assert_array_equal(samples.reference(n), X[rows])
    expected = (np.array(rows)[:, None] - 127.5) / 127.5
    np.testing.assert_allclose(images.reference(n), expected, rtol=1e-6)


def test_reference_samples_of_a_gaussian_are_always_the_same():
    data = mg.Gaussian(4.0, 0.5, seed=3)
    first = data.reference(1000)
    assert data.state() == {"position": 0}
    data.next_batch(np.empty((7, 1)))
    np.testing.assert_array_equal(data.reference(1000), first)
    assert first.shape == (1000, 1)
    assert first.dtype == np.float64
    z = np.empty((1000, 1))
    mg.backend.numpy.fill_normal(mg.Stream(0, "data/reference"), 4.0, 0.5, out=z)
    np.testing.assert_array_equal(first, z)


def test_bad_data_are_refused():
    with pytest.raises(mg.DataError, match="NaN"):
        mg.Samples(np.array([[1.0, np.nan]]))
    with pytest.raises(mg.DataError):
        mg.Samples(np.array([["a"]]))
    for X in (np.zeros(3), np.zeros((0, 2)), np.zeros((2, 0))):
        with pytest.raises(mg.ShapeError):
            mg.Samples(X)
    with pytest.raises(mg.DataError, match="float32"):
        mg.Samples(np.array([[1e300]]))
    for options, error in (
        ({"dtype": "int8"}, mg.DTypeError),
        ({"dtype": "abc"}, mg.DTypeError),
        ({"seed": -1}, mg.ConfigError),
        ({"seed": [0, 1]}, mg.ConfigError),
    ):
        with pytest.raises(error):
            mg.Samples(np.zeros((3, 2)), **options)
    for out in (np.zeros((2, 2)), np.zeros((3, 2, 2), "float32")):
        with pytest.raises(mg.DTypeError, match="float32"):
            mg.Samples(np.zeros((3, 2))).next_batch(out)
    with pytest.raises(mg.ConfigError, match="position"):
        mg.Samples(np.zeros((3, 2))).load_state({"position": 1.5})
    with pytest.raises(mg.ConfigError, match="std"):
        mg.Gaussian(std=0.0)
    with pytest.raises(mg.ConfigError, match="rebuilt"):
        rebuild("data", mg.Samples(np.zeros((2, 2))).to_config(), "cpu")
    with pytest.raises(mg.ConfigError, match="definition"):
        rebuild("data", {"data": "Gaussian", "colour": 3}, "cpu")


def test_epochs_do_not_share_random_words():
    # Five words a permutation take two blocks of four: epoch 1 begins at block 2.
    data = mg.Samples(np.zeros((5, 1)), seed=7)
    for epoch in (0, 1, 2):
        words = mg.Stream(7, "data", position=2 * epoch).words(5)[0]
        np.testing.assert_array_equal(data.order(epoch), np.argsort(words))
    few = mg.Samples(np.zeros((3, 1)), seed=7)
    assert len({tuple(few.order(epoch)) for epoch in range(60)}) == 6


def test_numpy_numbers_are_numbers():
    json.dumps(mg.Gaussian(np.float32(4), np.float64(1), seed=np.int64(1)).to_config())
    json.dumps(mg.Samples(np.zeros((3, 1)), seed=np.int64(1)).to_config())


# -- labels -----------------------------------------------------------------------------

KINDS = np.array([2, 0, 1, 1, 2, 0, 0, 2, 1, 3])  # of ten samples


def labelled(kind: str, dtype: str = "float32", labels: Any = KINDS) -> mg.DataSource:
    """Ten samples that are known by their numbers."""
    if kind == "Samples":
        return mg.Samples(np.arange(20.0).reshape(10, 2), seed=1, dtype=dtype, labels=labels)
    pixels = np.arange(20, dtype=np.uint8).reshape(10, 1, 2)
    return mg.Images(pixels, seed=1, dtype=dtype, labels=labels)


@pytest.mark.parametrize("kind", ["Samples", "Images"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [1, 3, 10, 25])
def test_each_sample_comes_with_its_label(batch, dtype, kind):
    """Also where an epoch ends inside the batch. The samples are those served without."""
    data, plain = labelled(kind, dtype), labelled(kind, dtype, None)
    out, alone = np.empty((batch, 2), dtype), np.empty((batch, 2), dtype)
    labels = np.full((batch, 4), np.nan, dtype)
    position = {tuple(row): i for i, row in enumerate(plain.reference(10).tolist())}
    for _ in range(5):
        data.next_batch(out, labels=labels)
        plain.next_batch(alone)
        np.testing.assert_array_equal(out, alone)
        rows = [position[tuple(row)] for row in out.tolist()]
        np.testing.assert_array_equal(labels, np.eye(4)[KINDS[rows]])
        assert data.state() == plain.state()
    data.next_batch(out)  # one need not ask for them
    plain.next_batch(alone)
    np.testing.assert_array_equal(out, alone)


@pytest.mark.parametrize("kind", ["Samples", "Images"])
def test_labels_are_rows_of_zeros_and_a_one(kind):
    data = labelled(kind, "float64")
    np.testing.assert_array_equal(data.labels, np.eye(4)[KINDS])
    assert (data.classes, data.labels.dtype) == (4, np.float64)
    plain = labelled(kind, labels=None)
    assert (plain.classes, plain.labels) == (0, None)
    for name in ("labels", "classes"):
        with pytest.raises(mg.ConfigError, match=f"{name} cannot be replaced; make another data"):
            setattr(data, name, 3)
    assert mg.Gaussian().classes == 0


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int64", "uint64"])
def test_labels_are_whole_numbers_of_any_width(dtype):
    """Also the largest that it can hold."""
    largest = min(np.iinfo(dtype).max, 9_999)
    data = labelled("Samples", labels=np.array([0, largest] * 5, dtype))
    assert data.classes == largest + 1
    assert list(data.labels.argmax(axis=1)) == [0, largest] * 5
    assert (data.labels.sum(axis=1) == 1.0).all()


@pytest.mark.parametrize("kind", ["Samples", "Images"])
@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (KINDS[:9], r"must be \(10,\) integers, not \(9,\) int64"),
        (KINDS[:, None], r"not \(10, 1\) int64"),
        (np.eye(4)[KINDS], r"not \(10, 4\) float64"),
        (KINDS - 1, "a label is -1; labels must be >= 0"),
        (KINDS.astype(float), r"not \(10,\) float64"),
        (KINDS > 0, r"not \(10,\) bool"),
        (["a"] * 10, "integers, not"),
        (3, r"not \(\) int64"),
        (KINDS + 9_997, "a label is 10,000; they must be below 10,000"),
    ],
)
def test_what_is_no_labels(labels, told, kind):
    with pytest.raises(mg.DataError, match=told):
        labelled(kind, labels=labels)


@pytest.mark.parametrize("kind", ["Samples", "Images"])
@pytest.mark.parametrize("n", [0, 1, 4, 10, 30])
def test_the_reference_has_its_labels(n, kind):
    data = labelled(kind, "float64")
    position = {tuple(row): i for i, row in enumerate(data.reference(10).tolist())}
    rows = [position[tuple(row)] for row in data.reference(n).tolist()]
    labels = data.reference_labels(n)
    assert labels.dtype == "float64"
    np.testing.assert_array_equal(labels, np.eye(4)[KINDS[rows]])
    assert data.state() == {"position": 0}


@pytest.mark.parametrize("kind", ["Samples", "Images"])
@pytest.mark.parametrize("rows", [4, 5, 10])
def test_a_stand_in_has_as_many_classes_as_the_data(kind, rows, monkeypatch):
    monkeypatch.setattr(f"minigan.data.{kind.lower()}.MOST_RANDOM", 2 * rows * 8)
    data = labelled(kind)
    twin = type(data).stand_in(data.settings())
    assert twin.classes == data.classes
    assert type(data).stand_in(labelled(kind, labels=None).settings()).classes == 0


@pytest.mark.parametrize("kind", ["Samples", "Images"])
def test_a_source_without_labels_has_none_to_serve(kind):
    data = labelled(kind, labels=None)
    told = f"these {kind} have no labels: make them with labels="
    with pytest.raises(mg.ConfigError, match=told):
        data.reference_labels(3)
    with pytest.raises(mg.ConfigError, match=told):
        data.next_batch(np.empty((3, 2), "float32"), labels=np.empty((3, 4), "float32"))
    assert data.state() == {"position": 0}


@pytest.mark.parametrize("kind", ["Samples", "Images"])
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((3, 3), "float32"), ((2, 4), "float32"), ((5, 4), "float32"), ((3, 4), "float64")],
)
def test_an_array_that_the_labels_do_not_fit_is_refused_and_nothing_is_served(shape, dtype, kind):
    data = labelled(kind)
    with pytest.raises((mg.ShapeError, mg.DTypeError), match="labels"):
        data.next_batch(np.empty((3, 2), "float32"), labels=np.empty(shape, dtype))
    assert data.state() == {"position": 0}


@pytest.mark.parametrize("kind", ["Samples", "Images"])
def test_labels_are_known_by_their_hash(kind):
    config, plain = labelled(kind).to_config(), labelled(kind, labels=None).to_config()
    mark = config.pop("labels_sha256")
    assert config.pop("classes") == 4
    assert config == plain
    assert labelled(kind, labels=list(KINDS)).to_config()["labels_sha256"] == mark
    assert labelled(kind, "float64", KINDS.astype("uint8")).to_config()["labels_sha256"] == mark
    others = [KINDS[::-1], np.zeros(10, int), np.where(KINDS == 3, 4, KINDS)]
    marks = {labelled(kind, labels=other).to_config()["labels_sha256"] for other in others}
    assert len({*marks, mark}) == 4


def test_a_run_goes_on_with_its_labels_alone(tmp_path):
    on_samples(tmp_path / "whole", data=labelled("Samples")).fit(steps=40)
    on_samples(tmp_path / "cut", data=labelled("Samples")).fit(steps=20)
    for other in (None, KINDS[::-1]):
        with pytest.raises(mg.ConfigError, match=r"trained on other data: .*labels_sha256 differ$"):
            mg.Trainer.resume(tmp_path / "cut", data=labelled("Samples", labels=other))
    mg.Trainer.resume(tmp_path / "cut", data=labelled("Samples"), progress=False).fit(steps=40)
    name = "checkpoint.safetensors"
    assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    on_samples(tmp_path / "plain", data=labelled("Samples", labels=None))
    with pytest.raises(mg.ConfigError, match="labels_sha256 differ"):
        mg.Trainer.resume(tmp_path / "plain", data=labelled("Samples"))


# -- numbers of a known distribution ----------------------------------------------------------


class Known(mg.Distribution):
    """One that SciPy knows."""

    def __init__(self, truth: Any) -> None:
        self.truth, self.mean, self.std = truth, float(truth.mean()), float(truth.std())
        self.density, self.cdf = truth.pdf, truth.cdf
        super().__init__()


class Peaks(mg.Distribution):
    """Two thirds around -3, one third around 5, which is narrow."""

    def __init__(self, seed: Any = 0, device: str = "cpu") -> None:
        self.mean, self.std = -1 / 3, float(np.sqrt(2 / 3 * 10 + (25 + 0.05**2) / 3 - 1 / 9))
        super().__init__(seed, device=device)

    def fill(self, stream: mg.Stream, out: Any) -> None:
        sides = np.empty_like(out)
        self.ops.fill_uniform(stream, 0.0, 3.0, out=sides)
        self.ops.fill_normal(stream, 0.0, 1.0, out=out)
        out[...] = np.where(sides < 2.0, out - 3.0, 0.05 * out + 5.0)

    def density(self, x: Any) -> Any:
        return (2.0 * stats.norm.pdf(x, -3.0, 1.0) + stats.norm.pdf(x, 5.0, 0.05)) / 3.0

    def cdf(self, x: Any) -> Any:
        return (2.0 * stats.norm.cdf(x, -3.0, 1.0) + stats.norm.cdf(x, 5.0, 0.05)) / 3.0

    def settings(self) -> dict[str, Any]:
        return {"seed": self.seed}


U = np.array([1e-9, 1e-6, 1e-3, 0.25, 0.5, 0.6, 0.66, 0.7, 0.9, 0.999, 1 - 1e-9])


@pytest.mark.parametrize("u", [U, U[2:9], U[:1], U[-1:], (np.arange(200) + 0.5) / 200])
def test_quantiles_between_and_beyond_two_peaks(u):
    """As a search finds them, one by one."""
    data, before = Peaks(), u.copy()
    found = data.quantile(u)
    expected = [optimize.brentq(lambda x, p=p: data.cdf(x) - p, -50, 50, xtol=1e-13) for p in u]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(data.cdf(found), u, atol=1e-7)
    assert (np.diff(found) > 0).all()
    np.testing.assert_array_equal(u, before)


TRUTHS = {
    "normal": stats.norm(4.0, 1.25),
    "narrow": stats.norm(-1e6, 1e-3),
    "one side": stats.expon(2.0),
    "wide tails": stats.t(5),
}


@pytest.mark.parametrize("name", TRUTHS)
def test_quantiles_against_formulas(name):
    truth = TRUTHS[name]
    found = Known(truth).quantile(U[1:-1])
    np.testing.assert_allclose(found, truth.ppf(U[1:-1]), rtol=1e-6, atol=1e-6 * truth.std())
    assert Known(truth).quantile(0.5) == pytest.approx(truth.median())


@pytest.mark.parametrize(
    ("std", "cdf"),
    [
        (1.0, lambda x: 0.5 + 0.0 * np.asarray(x)),
        (1.0, lambda x: np.clip(x, 0.0, 0.5)),
        (1.0, lambda x: np.clip(x, 0.1, 1.0)),
        (0.0, stats.norm.cdf),
    ],
    ids=["flat", "not to 1", "not from 0", "no spread"],
)
def test_what_is_no_distribution_has_no_quantiles(std, cdf):
    """And is no endless search."""
    data = Known(stats.norm())
    data.std, data.cdf = std, cdf
    with pytest.raises(mg.DataError, match=r"Known\.cdf does not rise from 0 to 1, or std is 0"):
        data.quantile(U)


def test_the_quantiles_of_a_gaussian_by_its_formula():
    np.testing.assert_allclose(
        mg.Gaussian(4.0, 1.25).quantile(U), stats.norm.ppf(U, 4.0, 1.25), rtol=1e-14
    )


@pytest.mark.parametrize("make", [Peaks, lambda seed: mg.Gaussian(4.0, 1.25, seed)])
def test_a_population_has_a_stream_each(make):
    both, out = make([5, 9]), np.empty((2, 6, 1))
    assert both.settings()["seed"] == [5, 9]
    assert both.reference(4).shape == (4, 1)
    for _ in range(2):
        both.next_batch(out)
    for k, seed in enumerate((5, 9)):
        alone, own = make(seed), np.empty((6, 1))
        for _ in range(2):
            alone.next_batch(own)
        np.testing.assert_array_equal(out[k], own)
        np.testing.assert_array_equal(both.reference(4), alone.reference(4))
        assert both.state() == alone.state()
    json.dumps(both.settings())


def test_density_and_distribution_of_a_gaussian():
    data, x = mg.Gaussian(4.0, 0.5), np.linspace(0.0, 8.0, 33)
    np.testing.assert_allclose(data.density(x), stats.norm.pdf(x, 4.0, 0.5), rtol=1e-12)
    np.testing.assert_allclose(data.cdf(x), stats.norm.cdf(x, 4.0, 0.5), rtol=1e-12)
    assert data.density([4.0])[0] == pytest.approx(1 / np.sqrt(2 * np.pi) / 0.5)


def test_what_a_distribution_is_cannot_be_replaced():
    for name in ("size", "features", "seed", "ops", "stream", "mean", "std"):
        with pytest.raises(mg.ConfigError, match=f"{name} cannot be replaced; make another data"):
            setattr(mg.Gaussian(), name, 3.0)


# -- by their description alone ------------------------------------------------------------


def without_kind(data: mg.DataSource) -> dict[str, Any]:
    """What recipe.json keeps of it, but for its class."""
    config = json.loads(json.dumps(data.to_config()))
    assert config.pop("data") == type(data).__name__
    return config


def test_a_gaussian_is_made_again_of_its_description():
    data = mg.Gaussian(4.0, 0.125, seed=7)
    settings = without_kind(data)
    assert data.describe() == "Gaussian: mean 4, std 0.125"
    assert mg.Gaussian.shape_of(settings) == ()
    data.next_batch(np.empty((5, 1)))
    for twin in (mg.Gaussian.find(settings), mg.Gaussian.stand_in(settings)):
        assert type(twin) is mg.Gaussian
        assert (twin.to_config(), twin.state()) == (data.to_config(), {"position": 0})
    with pytest.raises(mg.ConfigError, match="not the definition"):
        mg.Gaussian.find({**settings, "colour": 3})
    with pytest.raises(mg.ConfigError, match="abacus"):
        mg.Gaussian.find(settings, device="abacus")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("memory", "rows"), [(2**26, 40), (16 * 40, 40), (16 * 40 - 1, 39), (1, 1)]
)
def test_samples_can_be_stood_in_for_but_not_found(memory, rows, dtype, monkeypatch):
    data = mg.Samples(np.ones((40, 2)), seed=3, dtype=dtype, labels=[0] * 40)
    settings = without_kind(data)
    assert data.describe() == "Samples: 40 samples of 2"
    assert mg.Samples(np.ones((1, 2000))).describe() == "Samples: 1 sample of 2000"
    assert mg.Samples.shape_of(settings) == (40, 2)
    with pytest.raises(mg.DataError, match="has such Samples can give them"):
        mg.Samples.find(settings)
    monkeypatch.setattr(samples, "MOST_RANDOM", memory)
    twin = mg.Samples.stand_in(settings)
    assert (twin.X.shape, twin.dtype, twin.X.dtype) == ((rows, 2), dtype, np.dtype(dtype))
    with pytest.raises(mg.ConfigError, match="abacus"):
        mg.Samples.stand_in(settings, device="abacus")
    again = mg.Samples.stand_in(settings)
    np.testing.assert_array_equal(twin.X, again.X)
    if rows > 30:
        assert np.abs(twin.X.mean()) < 0.4
        assert np.abs(twin.X.std() - 1.0) < 0.3


@pytest.mark.parametrize("kind", [mg.Samples, mg.Images])
@pytest.mark.parametrize("shape", [None, 5, [], [1], [1, 2, 3, 4]])
def test_a_shape_that_is_none(kind, shape):
    settings = {} if shape is None else {"shape": shape}
    with pytest.raises((LookupError, TypeError, ValueError)):
        kind.shape_of(settings)


class Steady(mg.DataSource):
    """Ones, so many at a time."""

    size, features = None, 2

    def __init__(self, height: float = 0.5) -> None:
        self.height = height

    def settings(self) -> dict[str, Any]:
        return {"height": self.height}

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *context: Any) -> Any:
        return cls(**settings)


class Handed(Steady):
    """The same, which a run must be given."""

    is_given = True

    def settings(self) -> dict[str, Any]:
        return {}


def test_a_source_of_ones_own_has_the_rest_from_its_class():
    assert Steady(0.5).describe() == "Steady: height 0.5"
    assert Steady(1234567.0).describe() == "Steady: height 1.23457e+06"
    assert Handed().describe() == "Handed"
    assert (Steady.form, Steady.classes, Steady.is_given) == ("vector", 0, False)
    assert Steady.shape_of({"height": 0.5}) == ()
    with pytest.raises(mg.ConfigError, match="no data called 'Steady' here"):
        Steady.find({"height": 0.5})
    with registered_only_here():
        mg.register(Steady)
        mg.register(Handed)
        assert Handed.stand_in({}) is None
        for found in (Steady.find({"height": 0.25}), Steady.stand_in({"height": 0.25})):
            assert type(found) is Steady
            assert found.height == 0.25
        with pytest.raises(mg.DataError, match="has such Handed can give them"):
            Handed.find({})
    for method, arguments in (
        (Steady().next_batch, [None]),
        (Steady().reference, [3]),
        (Steady().state, []),
        (Steady().load_state, [{}]),
    ):
        with pytest.raises(NotImplementedError):
            method(*arguments)


class Half(mg.DataSource):
    """A source that is not finished."""

    size, features = None, 1

    def settings(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize("missing", ["next_batch", "reference", "state", "load_state"])
def test_a_source_that_lacks_something_is_refused_by_name(missing):
    """Before a run begins with it, and not at its first row."""
    methods = {
        "next_batch": lambda self, out: out.fill(1.0),
        "reference": lambda self, n: np.ones((n, 1)),
        "state": lambda self: {"position": 3},
        "load_state": lambda self, state: None,
    }
    require_complete(type("Whole", (Half,), methods)())
    with pytest.raises(mg.ConfigError, match="must define reference_labels, as every source with"):
        require_complete(type("Labelled", (Half,), methods | {"classes": 3})())
    methods.pop(missing)
    with pytest.raises(mg.ConfigError, match=f"Partly must define {missing}, as"):
        require_complete(type("Partly", (Half,), methods)())


@pytest.mark.parametrize(
    "state", [None, 5, "x", {"position": 1.0}, {"a": "x"}, {1: 2}, {"a": True}]
)
def test_a_position_that_is_not_kept_is_refused(state):
    methods = {
        name: lambda *_: state for name in ("next_batch", "reference", "state", "load_state")
    }
    with pytest.raises(mg.ConfigError, match=r"Odd\.state\(\) must return \{name: integer\}"):
        require_complete(type("Odd", (Half,), methods)())
