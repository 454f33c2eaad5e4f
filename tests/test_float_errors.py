"""What `np.seterr` says changes nothing: numbers that underflow or overflow, in every function."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan import evaluation
from minigan.backend.float_errors import ignore_float_errors

TINY, HUGE = 1e-30, 1e30  # their squares are zero and infinity in float32
WIDE = np.array([[-HUGE, -200.0, -TINY], [TINY, 200.0, HUGE]], np.float32)  # (2, 3)
NARROW = np.array([[TINY, -TINY, 3e-45]] * 4, np.float32)  # (4, 3)


def network(*layers: mg.Layer, **settings: Any) -> mg.Sequential:
    return mg.Sequential(*layers, in_features=3, **settings)


def through(*layers: mg.Layer) -> list[Any]:
    """Forward and backward of wide and of narrow numbers, and of numbers beyond float32."""
    net, results = network(*layers), []
    k = net.condition_features
    for X in (WIDE, NARROW, WIDE.astype(np.float64) ** 5, NARROW.astype(np.float64) ** 5):
        given = {"condition": np.full((len(X), k), TINY)} if k else {}
        Y = net.forward(X, **given).copy()
        results += [Y, net.backward(np.full(Y.shape, TINY)).copy(), net.predict(X, **given)]
    return results


def learn(make: Any) -> list[Any]:
    net = network(mg.Linear(3, 2))
    optimizer = make(net.parameters)
    for size in (TINY, 1e-44, 3.0, HUGE):
        net.parameters.grad = np.full(net.parameters.size, size)
        optimizer.step()
    return [net.parameters.data]


def play(noise: mg.Noise, loss: mg.Loss, **settings: Any) -> list[Any]:
    """Steps, eager and captured, on tiny numbers."""
    G = mg.Sequential(mg.Linear(1, 3), mg.ELU(), mg.Linear(3, 1), name="generator")
    D = mg.Sequential(mg.Linear(1, 3), mg.LeakyReLU(0.2), mg.Linear(3, 1), name="discriminator")
    gan = mg.GAN(G, D, noise, loss, average=0.9, **settings)
    for captured in (False, True, True):
        gan.capture(captured)
        gan.step(np.full((4, 1), TINY, np.float32))
    gan.load_state(*gan.state())
    return [*gan.losses().values(), gan.sample(5, seed=0), gan.sampler.parameters.data]


def ask(**settings: Any) -> list[Any]:
    """As `play`, with a conditional GAN; or with settings of an InfoGAN, on images of 1 x 3."""
    G = mg.Sequential(mg.AppendCondition(1, 3), mg.Linear(4, 3), mg.Tanh(), name="generator")
    D_layers = (mg.Linear(3, 3), mg.LeakyReLU(0.2))
    labels = None
    if settings:
        D = mg.Sequential(*D_layers, mg.Linear(3, 1), name="discriminator")
        Q = mg.Sequential(mg.Linear(3, 3), name="recogniser")
        gan: mg.Game = mg.InfoGAN(
            G, D, Q, mg.Uniform(0.0, TINY), categories=2, continuous=1, average=0.9, **settings
        )
    else:
        D, labels = (
            mg.Sequential(*D_layers, mg.Projection(3, 3), name="discriminator"),
            [0, 1, 2, 0],
        )
        gan = mg.ConditionalGAN(G, D, mg.Uniform(0.0, TINY), average=0.9)
    for captured in (False, True, True):
        gan.capture(captured)
        gan.step(np.full((4, 3), TINY, np.float32), labels)
    gan.load_state(*gan.state())
    return [*gan.losses().values(), gan.sample(5, seed=0), gan.sampler.parameters.data]


def numbers(source: mg.DataSource) -> list[Any]:
    out = np.empty((4, source.features), np.float32)
    source.next_batch(out)
    return [out, source.reference(3)]


def points(folder: Any) -> list[Any]:
    folder.mkdir()
    (folder / "points.csv").write_text(f"{TINY},{HUGE}\n{HUGE},{TINY}\n" * 4)
    return numbers(mg.Points(folder / "points.csv", unit=HUGE))


def diverge() -> list[Any]:
    """Infinity and NaN are found in the numbers, not by an error of NumPy."""
    G = mg.Sequential(mg.Linear(1, 1), name="generator")
    gan = mg.GAN(G, mg.Sequential(mg.Linear(1, 1), name="discriminator"), mg.Normal())
    G.parameters.data = [HUGE, HUGE]
    gan.discriminator.parameters.data = [HUGE, HUGE]
    gan.step(np.ones((4, 1), np.float32))
    with pytest.raises(mg.NonFiniteError):
        gan.losses()
    return []


def fit(folder: Any) -> list[Any]:
    layers = mg.Linear(1, 4), mg.Sigmoid(), mg.Linear(4, 1)
    nets = [mg.Sequential(*layers, name=name) for name in ("generator", "discriminator")]
    gan = mg.GAN(*nets, mg.Normal(std=TINY))
    data = mg.Gaussian(0.0, TINY)
    trainer = mg.Trainer(gan, data, folder, batch=4, print_every=2, progress=False)
    trainer.fit(4)
    return [mg.load_run(folder).gan.sample(3, seed=0)]


def check(function: Any, X: Any) -> list[Any]:
    return [row.analytic for row in function(X).rows]


def score() -> list[Any]:
    samples = np.linspace(-TINY, TINY, 20).reshape(-1, 1)
    D = mg.Sequential(mg.Linear(1, 1))
    wide = mg.Gaussian(0.0, 1e-5)
    seen = evaluation.discriminator_response(D, samples, np.linspace(-9, 9, 7), wide.density)
    return [evaluation.score_numbers(samples, wide).ks, seen.optimal, seen.density]


LABELS = np.array([0, 2])
CALLS = {
    "Adam": lambda folder: learn(lambda p: mg.Adam(p, weight_decay=TINY)),
    "AppendChannels": lambda folder: through(mg.AppendChannels(1, 2, (1, 3))),
    "AppendCondition": lambda folder: through(mg.AppendCondition(3, 2)),
    "BatchNorm": lambda folder: through(mg.BatchNorm(3)) + through(mg.BatchNorm(1, momentum=TINY)),
    "Clip": lambda folder: play(mg.Uniform(), mg.LeastSquares(), constraint=mg.Clip(TINY)),
    "Drift": lambda folder: play(mg.Uniform(), mg.LeastSquares(), penalty=mg.Drift(TINY)),
    "ConditionalGAN": lambda folder: ask(),
    "Consistency": lambda folder: ask(
        consistency=mg.Consistency((1, 3), weight=TINY, zoom=TINY, shear=TINY, shift=TINY)
    ),
    "Conv2d": lambda folder: through(mg.Conv2d(1, 2, kernel=2, size=(1, 3))),
    "ConvTranspose2d": lambda folder: through(mg.ConvTranspose2d(3, 2, size=1)),
    "Dropout": lambda folder: through(mg.Dropout(0.5)),
    "ELU": lambda folder: through(mg.ELU()) + through(mg.ELU(TINY)) + through(mg.ELU(HUGE)),
    "Embedding": lambda folder: through(mg.Embedding(3, 2, 2)),
    "GAN": lambda folder: diverge(),
    "Gaussian": lambda folder: [
        *numbers(mg.Gaussian(0.0, TINY)),
        mg.Gaussian(0.0, TINY).density([0.0, HUGE]),
        mg.Gaussian(0.0, TINY).cdf([0.0, HUGE]),
        mg.Gaussian(0.0, TINY).quantile([1e-300, 0.5]),
    ],
    "GradientPenalty": lambda folder: play(
        mg.Uniform(), mg.Wasserstein(), penalty=mg.GradientPenalty(TINY)
    ),
    "Grid": lambda folder: numbers(mg.Grid(2, spacing=TINY, std=TINY)),
    "Hinge": lambda folder: play(mg.Uniform(0.0, TINY), mg.Hinge()),
    "InfoGAN": lambda folder: ask(weight=TINY),
    "LayerNorm": lambda folder: through(mg.LayerNorm(3)) + through(mg.LayerNorm(1, eps=TINY)),
    "LeakyReLU": lambda folder: through(mg.LeakyReLU(TINY)) + through(mg.LeakyReLU(0)),
    "LeastSquares": lambda folder: play(mg.Uniform(0.0, TINY), mg.LeastSquares(TINY)),
    "Linear": lambda folder: through(mg.Linear(3, 2)),
    "LinearDecay": lambda folder: learn(lambda p: mg.Adam(p, decay=mg.LinearDecay(2, final=TINY))),
    "Minimax": lambda folder: play(mg.Uniform(0.0, TINY), mg.Minimax(TINY)),
    "Moons": lambda folder: numbers(mg.Moons(std=TINY)),
    "NonSaturating": lambda folder: play(mg.Uniform(0.0, TINY), mg.NonSaturating(TINY)),
    "Normal": lambda folder: play(mg.Normal(TINY, TINY), mg.NonSaturating()),
    "Pack": lambda folder: through(mg.Pack(2)),
    "Projection": lambda folder: through(mg.Projection(3, 2)),
    "R1": lambda folder: play(mg.Uniform(), mg.LeastSquares(), penalty=mg.R1(TINY)),
    "Points": points,
    "RMSprop": lambda folder: learn(lambda p: mg.RMSprop(p, TINY)),
    "ReLU": lambda folder: through(mg.ReLU()),
    "Ring": lambda folder: numbers(mg.Ring(3, radius=TINY, std=TINY)),
    "Spiral": lambda folder: numbers(mg.Spiral(std=TINY)),
    "SGD": lambda folder: learn(lambda p: mg.SGD(p, TINY, momentum=TINY)),
    "Samples": lambda folder: numbers(mg.Samples(NARROW.astype(np.float64) ** 2)),
    "Sequential": lambda folder: [network(mg.Linear(3, 2), dtype="float64").astype("float32")],
    "Sigmoid": lambda folder: through(mg.Sigmoid()),
    "Stratified": lambda folder: play(mg.Stratified(-TINY, TINY), mg.NonSaturating()),
    "Tanh": lambda folder: through(mg.Tanh()),
    "Trainer": lambda folder: fit(folder),
    "Uniform": lambda folder: play(mg.Uniform(-TINY, TINY), mg.NonSaturating()),
    "Upsample2d": lambda folder: through(mg.Upsample2d(1, size=(3, 1))),
    "Wasserstein": lambda folder: play(mg.Uniform(0.0, TINY), mg.Wasserstein()),
    "bce": lambda folder: [*mg.bce(abs(NARROW), abs(NARROW)), *mg.bce(np.eye(3), TINY)],
    "bce_with_logits": lambda folder: [*mg.bce_with_logits(WIDE, TINY)],
    "gradcheck": lambda folder: check(
        lambda X: mg.gradcheck(network(mg.Linear(3, 2), mg.Sigmoid()), X), WIDE[:, 1:2] * NARROW[:2]
    ),
    "gradcheck_function": lambda folder: check(
        lambda X: mg.gradcheck_function(lambda L: mg.bce_with_logits(L, 0.5), X), WIDE[:, 1:]
    ),
    "mean_squared_error": lambda folder: [*mg.mean_squared_error(WIDE, TINY)],
    "softmax_cross_entropy": lambda folder: [*mg.softmax_cross_entropy(WIDE, LABELS)],
    "score": lambda folder: score(),
}
#: What computes nothing, needs no numbers of its own, or is only a base class.
ELSEWHERE = {
    *("Constraint", "DataSource", "Distribution", "Game", "GradcheckReport", "ImageSet", "Images"),
    *("Layer", "LayerPass", "Loss", "MovingAverage", "Noise", "Optimizer", "Parameters", "Penalty"),
    *("PenaltyPass", "Run", "Stream", "__version__", "load_checkpoint", "load_images", "load_run"),
    *("mpi_main",),
    *("read_frames", "read_history", "read_recipe", "register", "save_checkpoint"),
    "sweep",
}


def test_every_public_name_is_called_or_computes_nothing():
    errors = {
        name
        for name in mg.__all__
        if isinstance(getattr(mg, name), type) and issubclass(getattr(mg, name), BaseException)
    }
    assert set(mg.__all__) == (CALLS.keys() - {"score"}) | ELSEWHERE | errors


@pytest.mark.parametrize("name", CALLS)
def test_the_results_are_the_same_whatever_seterr_says(name, tmp_path):
    """Also where NumPy's warnings are errors, as in these tests."""
    results = []
    for mode in ("raise", "warn", "ignore"):
        with np.errstate(all=mode):
            results.append(CALLS[name](tmp_path / mode))
            assert np.geterr() == dict.fromkeys(("divide", "over", "under", "invalid"), mode)
    for other in results[1:]:
        for one, same in zip(results[0], other, strict=True):
            if isinstance(one, mg.Sequential):
                one, same = one.parameters.data, same.parameters.data
            np.testing.assert_array_equal(one, same)


def test_an_error_leaves_what_numpy_reports_as_it_was():
    @ignore_float_errors
    def fail() -> None:
        np.float32(HUGE) * np.float32(HUGE)
        raise KeyError

    with np.errstate(all="raise"):
        for _ in range(2):
            with pytest.raises(KeyError):
                fail()
            with pytest.raises(FloatingPointError):
                np.float32(HUGE) * np.float32(HUGE)
