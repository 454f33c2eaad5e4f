"""What a training step calls, counted exactly; and `minigan profile`, which adds the clock.

The counts guard the step's speed without a stopwatch: a product that is not needed, or one call
more than before, changes them on every machine. Each check is seen to fail once: see FAULTS.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from running import ROOT, load_example

import minigan as mg
import minigan.cli.main as command_line
from minigan.backend import meter
from minigan.backend import numpy as numpy_backend
from minigan.backend.meter import KERNELS, Call, Key, observed_calls, timed
from minigan.backend.numpy import recording as numpy_recording
from minigan.backend.window import Window
from minigan.cli import profile as command
from minigan.nn import Pass
from minigan.nn.layers.linear import LinearPass
from minigan.training import profile as profiling
from minigan.training.profile import Row, StepProfile, profile_step

Game = tuple[mg.GAN, Any, int]  # GAN, data, batch


def gaussian1d(recipe: str = "article") -> Game:
    example = load_example("gaussian1d")
    settings = example.RECIPES[recipe]
    return *example.build(settings), settings.batch


def mnist(recipe: str = "article") -> Game:
    example = load_example("mnist")
    settings = example.RECIPES[recipe]
    data = mg.Images(np.random.default_rng(0).integers(0, 256, (500, 28, 28), dtype=np.uint8))
    return example.build(settings, data.features, data.size), data, settings.batch


def of_all_parts() -> Game:
    """A GAN that has every kind of part, with several updates of each network a step."""
    G = mg.Sequential(mg.Linear(2, 8), mg.ReLU(), mg.Dropout(0.2), mg.Linear(8, 1), name="g")
    D = mg.Sequential(mg.Linear(1, 8), mg.ELU(), mg.Linear(8, 1), name="d")
    gan = mg.GAN(
        G, D, mg.Normal(dim=2), mg.LeastSquares(), penalty=mg.Drift(), constraint=mg.Clip(0.3),
        average=0.9, d_steps=3, g_steps=2, fresh_real=True,
    )  # fmt: skip
    return gan, mg.Gaussian(), 16


def of_images() -> Game:
    """Convolutions, and batch normalisation in both networks: D scores real and fake apart."""
    G = mg.Sequential(
        *(mg.Linear(2, 32), mg.BatchNorm(2), mg.ReLU(), mg.ConvTranspose2d(2, 3, size=(4, 4))),
        *(mg.Upsample2d(3, size=(8, 8)), mg.Conv2d(3, 1, size=(16, 16)), mg.Tanh()),
        name="g",
    )
    D = mg.Sequential(
        *(mg.Conv2d(1, 2, size=(8, 8)), mg.BatchNorm(2), mg.LeakyReLU(0.2), mg.Linear(32, 1)),
        name="d",
    )
    data = mg.Images(np.random.default_rng(0).integers(0, 256, (50, 8, 8), dtype=np.uint8))
    return mg.GAN(G, D, mg.Normal(dim=2)), data, 5


class Still(mg.Images):
    """The same batch again and again: a repeated call would take no other one."""

    def next_batch(self, out: Any) -> None:
        out[...] = np.linspace(-1.0, 1.0, out.size).reshape(out.shape)


def of_still_images() -> Game:
    gan, _, batch = of_images()
    return gan, Still(np.zeros((50, 8, 8), np.uint8)), batch


def profile(game: Game, steps: int = 1) -> StepProfile:
    return profile_step(*game, steps=steps)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.1, 0.9, shape).astype("float32")


def row(part: str, kernel: str, calls: float = 1, seconds: float = 0.0, flops: float = 0.0) -> Row:
    return Row(Key("", part, "", kernel, ""), calls, seconds, flops)


# -- the recording --------------------------------------------------------------------------


def test_a_recording_says_where_and_what():
    bound, X = mg.Sequential(mg.Linear(3, 4), mg.Tanh()).bind(2), numbers(2, 3)
    linear, tanh = bound.layers
    with observed_calls(numpy_backend, {id(linear): ("G", "0 Linear")}) as calls:
        bound.forward(X)
    assert [(*call.key,) for call in calls] == [
        ("G", "0 Linear", "forward", "matmul", "Y"),
        ("G", "0 Linear", "forward", "add_rows", "Y"),
        ("", type(tanh).__name__, "", "tanh", ""),
    ]
    Y = bound.Y.copy()
    bound.Y[...] = 0.0
    assert len(timed(calls)) == 3  # makes the calls again
    np.testing.assert_array_equal(bound.Y, Y)


def operations_of_a_product() -> bool:
    """2 M N K of (2, 3) times (3, 4), whatever is transposed; five times that for five members."""
    with observed_calls(numpy_backend, {}) as calls:
        for A, B, members in itertools.product([False, True], [False, True], [(), (5,)]):
            left, right = (3, 2) if A else (2, 3), (4, 3) if B else (3, 4)
            out = numbers(*members, 2, 4)
            numpy_backend.matmul(numbers(*members, *left), numbers(*members, *right), out, A, B)
    return [call.flops for call in calls] == [48, 5 * 48] * 4


def operations_of_a_convolution() -> bool:
    """2 B oh ow kh kw c o of all three kernels; five times that for five members."""
    window = Window(5, 6, 3, kernel=(3, 2), stride=(2, 1), padding=(1, 0))
    B, (oh, ow), o = 4, window.places, 7
    with observed_calls(numpy_backend, {}) as calls:
        for members in ((), (5,)):
            X, W = numbers(*members, B, 5 * 6 * 3), numbers(*members, 3 * 2 * 3, o)
            dY = numbers(*members, B, oh * ow * o)
            numpy_backend.convolve(X, W, window, out=dY)
            numpy_backend.convolve_input_gradient(dY, W, window, out=X)
            numpy_backend.convolve_weight_gradient(X, dY, window, out=W)
    once = 2 * 4 * (3 * 5) * (3 * 2 * 3) * 7
    return (oh, ow) == (3, 5) and [call.flops for call in calls] == [once] * 3 + [5 * once] * 3


def test_the_clock_itself_is_not_timed(monkeypatch):
    """Its cost is the median of many readings: another program may run during some."""
    now, turns = [0.0], [0]

    def clock() -> float:
        turns[0] += 1
        now[0] += 5.0 if turns[0] <= 100 else 1.0
        return now[0]

    monkeypatch.setattr("minigan.backend.meter.time.perf_counter", clock)
    work = Call(Key("", "", "", "work", ""), 0, lambda: now.__setitem__(0, now[0] + 3.0))
    assert timed([work, work]) == [3.0, 3.0]


# -- the calls of a step, counted -----------------------------------------------------------


def products(rows: int, sizes: tuple[int, ...], skip_first: bool = False) -> int:
    """2 rows in out for each Linear of a network: of Y, or of dW, or of dX."""
    pairs = list(itertools.pairwise(sizes))
    return sum(2 * rows * i * o for i, o in pairs[1 if skip_first else 0 :])


def of_a_step(G: tuple[int, ...], D: tuple[int, ...], made: int, judged: int, batch: int) -> int:
    """The products of a step, for rows that G makes and D scores, of each kind."""
    return (
        products(made, G)  # samples for both halves
        + 2 * products(2 * judged, D)  # D on real and fake rows: forward, dW,
        + products(2 * judged, D, skip_first=True)  # and dX, but not of its input
        + 2 * products(judged, D)  # D in G's half: forward, and dX, of its input too, but no dW
        + products(batch, G)  # G: dW,
        + products(batch, G, skip_first=True)  # and dX, but not of the noise
    )


def of_a_step_on_images() -> int:
    """2 rows places values channels of each convolution, next to the products of Linear."""
    conv_t, conv = 4 * 4 * (4 * 4 * 3) * 2, 8 * 8 * (4 * 4 * 3) * 1  # of G, for each row
    G, conv_of_D, linear_of_D = 2 * 32 + conv_t + conv, 4 * 4 * (4 * 4 * 1) * 2, 32 * 1
    D = conv_of_D + linear_of_D
    return (
        2
        * 5
        * (
            2 * G  # a forward for each half
            + 2 * (D + D + linear_of_D)  # D on real and on fake rows: forward, dW, dX of its Linear
            + 2 * D  # D in G's half: forward, dX
            + G  # dW
            + (conv_t + conv)  # and dX, but not of the noise
        )
    )


#: D of gaussian1d judges packs: one row for 100 samples, each with its deviation. G of mnist learns
#: on the samples that D scored, so it runs once.
BY_HAND: dict[Callable[[], Game], int] = {
    gaussian1d: of_a_step((1, 50, 50, 1), (200, 50, 50, 1), made=200, judged=1, batch=100),
    of_images: of_a_step_on_images(),
    mnist: of_a_step((100, 256, 256, 784), (784, 256, 256, 1), made=100, judged=100, batch=100),
}
BOTH = {
    # G forward; D forward, dW, dX of two; D in G's half forward, dX; G dW, dX of two
    "matmul": 3 + (3 + 3 + 2) + (3 + 3) + (3 + 2),
    "add_rows": 3 + 3 + 3,
    "sum_rows": 3 + 3,
    "bce_gradient": 1 + 1,
    "tick": 1 + 1,
    "adam": 1 + 1,
}
COUNTS: dict[Callable[[], Game], dict[str, int]] = {
    gaussian1d: {
        **BOTH,
        "elu": 1 + 2 + 2,
        "elu_backward": 2 + 2 + 1,
        "sigmoid": 1 + 1 + 1,
        "sigmoid_backward": 1 + 1 + 1,
        "pack_mean": 1 + 1,
        "pack_deviations": 1 + 1,
        "pack_deviations_backward": 1,  # D in G's half
        "add": 1,  # of the same
        "copy": 2 + 2,  # samples into packs; scores, to compute losses from
        "fill_normal": 1,
        "fill_uniform": 2,
    },
    mnist: {
        **BOTH,
        "relu": 2 + 2 + 2,
        "relu_backward": 2 + 2 + 2,
        "fill_dropout_mask": 2 + 2 + 2,
        "dropout": 2 + 2 + 2,
        "dropout_backward": 2 + 2 + 2,
        "tanh": 1,
        "tanh_backward": 1,
        "sigmoid": 1 + 1,
        "sigmoid_backward": 1 + 1,
        "copy": 2,
        "take_pixels": 1,
        "fill_uniform": 1,
    },
    # G runs for each half, forward; D three times, the last time for G alone.
    of_images: {
        "matmul": (2 + 1) + (3 + 2 + 3),  # G without dX of the noise; D: Y, dW, dX
        "convolve": 2 + 1 + 3,  # Y of G's Conv2d, dX of its ConvTranspose2d; Y of D's
        "convolve_input_gradient": 2 + 1 + 1,  # Y of ConvTranspose2d, dX of Conv2d; dX of D's
        "convolve_weight_gradient": 2 + 2,
        "add_rows": 2 * 3 + 3 * 2,
        "sum_rows": 3 + 2 * 2,
        "upsample": 2,
        "upsample_backward": 1,
        "batch_statistics": 2 + 3,
        "normalise": 2 + 3,
        "normalise_gradients": 1 + 3,
        "normalise_backward": 1 + 3,
        "scale": (2 + 3) * 4,  # running mean and variance, and what is added to each
        "add": (2 + 3) * 2 + 1,  # the same; D's two gradients
        # dgamma and dbeta of G, of D twice; D's statistics before G's half and after it; scores
        "copy": 2 + 4 + 2 + 2,
        "relu": 2,
        "relu_backward": 1,
        "leaky_relu": 3,
        "leaky_relu_backward": 3,
        "tanh": 2,
        "tanh_backward": 1,
        "bce_with_logits_gradient": 2,
        "take_pixels": 1,
        "fill_normal": 2,
        "tick": 2,
        "adam": 2,
    },
}


def calls_and_products_are_those_by_hand() -> bool:
    for make, counts in COUNTS.items():
        rows, counted = profile(make()).rows, Counter()
        for one in rows:
            counted[one.key.kernel] += one.calls
        if counted != counts or sum(one.flops for one in rows) != BY_HAND[make]:
            return False
    return True


def only_what_is_read_is_computed() -> bool:
    """No gradient of D's input in D's half, or of G's; none of D's parameters in G's half."""
    for game in (gaussian1d(), gaussian1d("stable"), mnist(), mnist("stable")):
        first = "1 Linear" if isinstance(game[0].discriminator.layers[0], mg.Pack) else "0 Linear"
        keys = [one.key for one in profile(game).rows]
        made = {(key.network, key.part, key.result) for key in keys}
        wanted = {("D in its half", first, "dweight"), ("D in G's half", first, "dX")}
        unwanted = {("D in its half", first, "dX"), ("G", "0 Linear", "dX")}
        of_judge = {key.result for key in keys if key.network == "D in G's half"}
        if not wanted <= made or made & unwanted or of_judge & {"dweight", "dbias"}:
            return False
    made = {
        (key.network, key.part, key.result)
        for key in (one.key for one in profile(of_images()).rows)
    }
    of_D = {(network, result) for network, part, result in made if part == "0 Conv2d"}
    return of_D == {
        *itertools.product(
            ("D on real samples", "D on generated samples"), ("Y", "dweight", "dbias")
        ),
        *itertools.product(("D in G's half",), ("Y", "dX")),
    }


def each_part_has_its_rows() -> bool:
    """In each of D's three updates; losses are computed once in 64 steps."""
    found = [one for one in profile(of_all_parts(), 64).rows if not one.key.network]
    return {(one.key.part, one.key.kernel): one.calls for one in found} == {
        ("Gaussian", "fill_normal"): 1,
        ("Normal", "fill_normal"): 5,
        ("LeastSquares", "mean_squared_error_gradient"): 5,
        ("LeastSquares", "mean_squared_error_loss"): 3 / 64,
        ("DriftPass", "mean_squared_error_loss"): 1 / 64,
        ("DriftPass", "scale"): 3 + 1 / 64,
        ("DriftPass", "add"): 3,
        ("Clip", "clip"): 3,
        ("Adam", "tick"): 3 + 2,
        ("Adam", "adam"): 3 + 2,
        ("MovingAverage", "moving_average"): 1,
        ("GAN", "copy"): 3,
        ("Records", "copy"): 3,
        ("Records", "record_losses"): 1 / 64,
    }


#: NumPy calls and live kernels of a captured step, at most. It may become fewer.
REPLAYED = {gaussian1d: 131, mnist: 214, of_images: 465}


def a_captured_step_is_as_short_as_it_was() -> bool:
    for make, most in REPLAYED.items():
        gan, data, batch = make()
        gan.bind(batch)
        gan.capture()
        data.next_batch(out=gan.real)
        gan.step()
        if len(gan.recording.replay.calls) > most:
            return False
    return True


class Mixing(mg.Linear):
    """A layer that does not say whether its rows are independent."""

    mixes_rows = True


def all_passes(gan: mg.GAN) -> list[Pass]:
    """Those of a step, and the parts of their rows."""
    return [one for _, whole in gan.passes() for one in (whole, *whole.parts)]


def every_pass_has_a_title() -> bool:
    """Whichever way a GAN is bound; and no title is without a pass."""
    G, D = (mg.Sequential(Mixing(n, 1), name=name) for n, name in ((2, "g"), (1, "d")))
    mixed = mg.GAN(G, D, mg.Normal(dim=2)), mg.Gaussian(), 4
    G = mg.Sequential(mg.Linear(2, 1), mg.BatchNorm(1), name="g")
    averaged = mg.GAN(G, D, mg.Normal(dim=2), average=0.9), mg.Gaussian(), 4
    found = set()
    for gan, _, batch in (mnist(), mnist("stable"), of_all_parts(), mixed, averaged):
        gan.bind(batch)
        passes = all_passes(gan)
        names = {name for name, value in vars(gan).items() if isinstance(value, Pass)}
        found |= names
        if (
            len({id(bound) for bound in passes}) != len(passes)
            or {id(bound) for bound in passes} != {id(vars(gan)[name]) for name in names}
            or not {title for title, _ in gan.passes()} <= set(mg.GAN.titles.values())
        ):
            return False
    return found == set(mg.GAN.titles)


# -- profiling changes nothing --------------------------------------------------------------


def a_profiled_step_is_a_step() -> bool:
    """Recorded, repeated and all: after as many steps the parameters are the same to the bit."""
    for make in (gaussian1d, lambda: gaussian1d("stable"), of_all_parts, of_still_images):
        gan, data, batch = game = make()
        profile(game, 3)
        other, its_data, _ = make()
        other.bind(batch)
        for _ in range(gan.generator_optimizer.step_count // gan.g_steps):
            its_data.next_batch(out=other.real)
            other.step()
        mine, theirs = gan.state()[0], other.state()[0]
        trained = [name for name in mine if not name.startswith("losses")]
        same = all(np.array_equal(mine[name], theirs[name]) for name in trained)
        if not same or data.state() != its_data.state() or other.step_count < 10:
            return False
    return True


def the_backend_is_left_as_it_was() -> bool:
    """Also after an error."""
    before = {name: getattr(numpy_backend, name) for name in KERNELS}
    gan, data, batch = gaussian1d()
    data.next_batch = lambda out: 1 / gan.recording.on
    with pytest.raises(ZeroDivisionError), observed_calls(numpy_backend, {}):
        profile((gan, data, batch))
    profile(gaussian1d())
    return before == {name: getattr(numpy_backend, name) for name in KERNELS}


def test_what_cannot_be_profiled():
    gan, data, batch = gaussian1d()
    with pytest.raises(mg.ShapeError, match="the data have 5 features"):
        profile((gan, mg.Samples(numbers(9, 5)), batch))
    with pytest.raises(mg.ConfigError, match="batch must be an integer >= 1"):
        profile((gan, data, 0))
    with pytest.raises(mg.ConfigError, match="steps must be an integer >= 1"):
        profile((gan, data, batch), 0)


# -- times ----------------------------------------------------------------------------------


def a_slow_kernel_is_seen_where_it_is() -> bool:
    """A clock that counts kernels instead of time: each takes 1, but a sigmoid takes 100."""
    now = [0.0]

    def slow(kernel: Callable[..., Any], ticks: float) -> Callable[..., Any]:
        def call(*args: Any, **settings: Any) -> Any:
            now[0] += ticks
            return kernel(*args, **settings)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in KERNELS:
            kernel = slow(getattr(numpy_backend, name), 100.0 if name == "sigmoid" else 1.0)
            patch.setattr(numpy_backend, name, kernel)
        patch.setattr("minigan.backend.meter.time.perf_counter", lambda: now[0])
        rows = profile(gaussian1d(), 5).rows
    return all(
        one.seconds == one.calls * (100.0 if one.key.kernel == "sigmoid" else 1.0) for one in rows
    )


def test_times_are_medians_of_means():
    """Three rounds of four steps; another program interrupts the last one."""
    even, seldom = (row("", name).key for name in ("tanh", "negate"))
    calls = [Call(key, 8 if key is even else 0, print) for key in [even] * 5 + [seldom]]
    quick = np.array([1.0, 2.0, 2.0, 3.0, 4.0, 8.0]) / 4
    rows = profiling._rows(calls, np.array([quick, 2 * quick, 90 * quick]), 4)
    assert rows == [Row(even, 1.25, 6.0, 10.0), Row(seldom, 0.25, 4.0, 0.0)]


def test_a_profile_adds_up():
    found = profile(gaussian1d(), 130)
    assert found.steps == 128  # a multiple of 64
    assert found.kernels == pytest.approx(sum(one.seconds for one in found.rows))
    assert found.step == pytest.approx(max(found.whole, found.kernels))
    assert found.captured > 0.0


# -- the command ----------------------------------------------------------------------------


def minigan(*flags: object) -> int:
    return command_line.main(["profile", *map(str, flags)])


def trained(folder: Path, data: Any, features: int, dtype: str = "float32") -> Path:
    """A run of one step."""
    G = mg.Sequential(mg.Linear(3, 8), mg.Tanh(), mg.Linear(8, features), name="g", dtype=dtype)
    D = mg.Sequential(mg.Linear(features, 8), mg.ReLU(), mg.Linear(8, 1), name="d", dtype=dtype)
    gan = mg.GAN(G, D, mg.Normal(dim=3))
    mg.Trainer(gan, data, folder, batch=20, progress=False).fit(steps=1)
    return folder


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


EXAMPLE = ROOT / "examples" / "gaussian1d.py"


def the_command_shows_what_it_measures(capsys: Any) -> bool:
    """The table on the screen, and a chart."""
    chart = Path("a.png")
    chart.unlink(missing_ok=True)
    if minigan(EXAMPLE, "--recipe", "article", "--steps", 2, "--out", chart) != 0:
        return False
    out = capsys.readouterr().out.splitlines()
    heads = [line.split("  ")[0] for line in out[4:] if line and line[0] != " "]
    kernels = [line.split() for line in out[out.index("by kernel") + 1 :] if line]
    totals = {words[0]: words[1:] for words in kernels if words[0] in COUNTS[gaussian1d]}
    times = [float(words[1].replace(",", "")) for words in totals.values()]
    return (
        chart.exists()
        and chart.read_bytes().startswith(b"\x89PNG")
        and "recipe article: batch 100, float32, 1 thread" in out[0]
        and heads[:4] == ["G", "D in its half", "D in G's half", command.REST]
        and {name: int(words[0]) for name, words in totals.items()} == COUNTS[gaussian1d]
        and float(totals["matmul"][3]) == round(BY_HAND[gaussian1d] / 1e6, 3)
        and times == sorted(times, reverse=True)
        and "captured, as in training" in out[-2]
        and out[-1] == "chart a.png"
    )


def test_runs_of_each_form_are_not_changed(folder, capsys):
    images = trained(folder / "images", mg.Images(np.zeros((30, 4, 5), np.uint8)), 20)
    data = mg.Samples(numbers(30, 7), dtype="float64")
    samples = trained(folder / "samples", data, 7, "float64")
    for run, kernel, title in (
        (trained(folder / "numbers", mg.Gaussian(), 1), "fill_normal", "batch 10, float32"),
        (images, "take_pixels", "batch 10, float32"),
        (samples, "take_rows", "batch 10, float64"),
    ):
        before = {file: file.read_bytes() for file in run.iterdir()}
        assert minigan(run, "--steps", 1, "--batch", 10) == 0
        out = capsys.readouterr().out
        assert kernel in out
        assert f"{run.name}: {title}, 1 thread\n" in out  # it is in the current folder
        assert {file: file.read_bytes() for file in run.iterdir()} == before


def test_an_experiment_on_images(folder, monkeypatch, capsys):
    monkeypatch.setattr("minigan.data.images.MOST_RANDOM", 50 * 28 * 28)
    assert minigan(ROOT / "examples" / "mnist.py", "--steps", 1, "--batch", 5) == 0
    assert "mnist.py, recipe stable: batch 5, float32" in capsys.readouterr().out


def test_short_bars_are_not_drawn():
    rows = [row("Long", "matmul", 1, 0.7, 9.0), row("Long", "copy", 1, 0.1)]
    rows += [row("Brief", "copy", 1, 0.002), row("None", "copy", 1, 0.0019)]
    figure = command.plots.new_figure()
    command.draw(figure, StepProfile(64, rows, 1.0, 0.5), "title")
    (axes,) = figure.axes
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    assert labels == ["Long", "Brief", command.PYTHON]
    assert [text.get_text() for text in axes.texts] == [" 80.0 %", " 0.2 %", " 19.6 %"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([80.0, 0.2, 19.61])


def test_settings_of_the_user_do_not_reach_the_chart(tmp_path):
    figure = command.plots.new_figure()
    with matplotlib.rc_context({"text.usetex": True, "font.size": 40}):
        command.draw(figure, StepProfile(64, [row("A", "copy", 1, 0.5)], 1.0, 0.5), "title")
    (axes,) = figure.axes
    assert not axes.xaxis.label.get_usetex()
    assert axes.xaxis.label.get_fontsize() < 20
    command.plots.save_figure(figure, tmp_path / "chart.png")  # without LaTeX
    figure.canvas.draw()
    for text in figure.texts:  # nothing is cut off
        (left, _), (right, _) = text.get_window_extent().get_points()
        assert 0 <= left < right <= figure.bbox.width


def test_a_product_that_takes_no_time():
    """As a coarse clock shows it."""
    found = StepProfile(1, [row("A", "matmul", 1, 0.0, 8e6)], 1.0, 1.0)
    assert command.table(found).splitlines()[3].split()[1:] == ["1", "0.0", "0.0", "8.000"]


def test_a_place_is_the_sum_of_its_kernels_and_the_table_fits_80_columns():
    rows = [row("A", "matmul", 1, 2e-6, 8e3), row("A", "copy", 2, 1e-6)]
    rows += [
        row("", "mean_squared_error_gradient", 0.031, 7.1e-6),
        row("B", "matmul", 1, 1e-6, 9e3),
    ]
    table = command.table(StepProfile(64, rows, 2.0, 1.0))
    assert max(map(len, table.splitlines())) <= 80
    words = [line.split() for line in table.splitlines()]
    network, place, product, copy = words[1:5]
    assert network[3:] == ["4.031", "11.1", "0.0", "0.017"]  # outside the networks
    assert place[1:] == ["3", "3.0", "0.0", "0.008"]
    assert product[1:] == ["1", "2.0", "0.0", "0.008", "4.0"]  # the rate of products only
    assert copy[1:] == ["2", "1.0", "0.0"]


def test_any_number_of_threads(folder, monkeypatch):
    asked = []
    limit = command.limit_threads
    monkeypatch.setattr(command, "limit_threads", lambda n: asked.append(n) or limit(n))
    run = trained(folder / "run", mg.Gaussian(), 1)
    for flags in ((), ("--threads", 2)):
        assert minigan(run, "--steps", 1, *flags) == 0
    assert asked == [1, 2]  # by itself as the trainer chooses


REFUSED = [
    (["nowhere"], "nowhere is neither a run folder nor an experiment's .py file"),
    (["nowhere.py"], "there is no file nowhere.py"),
    (["."], "holds no run"),
    (["damaged"], "is not a checkpoint"),
    (["broken.py"], "cannot run broken.py: line 1: SyntaxError"),
    (["empty.py"], "empty.py has no `experiment`"),
    (["odd.py"], "odd.py has no `experiment`"),
    ([EXAMPLE, "--recipe", "mine"], "has no recipe 'mine'; choose from article, stable"),
    ([EXAMPLE, "--recipe", "article", "--batch", "64"], "multiple of 100, not 64"),
    ([EXAMPLE, "--out", "a.jpg"], "--out must end in .png, not 'a.jpg'"),
    ([EXAMPLE, "--steps", "1", "--out", "no/such/a.png"], "cannot write"),
    ([EXAMPLE, "--steps", "0"], "integer >= 1"),
    ([EXAMPLE, "--threads", "0"], "integer >= 1"),
    (["damaged", "--recipe", "stable"], "a run has its own recipe"),
]


@pytest.fixture
def bad_targets(folder) -> None:
    """Files and a folder for REFUSED, here."""
    Path("broken.py").write_text("def\n")
    Path("empty.py").write_text("")
    Path("odd.py").write_text("experiment = 2\n")
    run = trained(folder / "damaged", mg.Gaussian(), 1)
    (run / "checkpoint.safetensors").write_bytes(b"\x08" + bytes(50))
    (run / "checkpoint-previous.safetensors").unlink(missing_ok=True)


def is_refused(flags: list[Any], told: str, capsys: Any) -> bool:
    """With one sentence and exit code 2."""
    there = {file.name for file in Path().iterdir()}
    try:
        code = minigan(*flags)
    except SystemExit as end:  # argparse's way
        code = end.code
    except Exception:
        return False
    error = capsys.readouterr().err.strip().splitlines()[-1]
    left = {file.name for file in Path().iterdir()} - there - {"__pycache__"}
    return code == 2 and told in error and not left


@pytest.mark.usefixtures("bad_targets")
@pytest.mark.parametrize(("flags", "told"), REFUSED)
def test_refusals_are_one_sentence(flags, told, capsys):
    assert is_refused(flags, told, capsys)


# -- tests of the tests ---------------------------------------------------------------------


def a_call_missed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(meter, "KERNELS", [name for name in KERNELS if name != "copy"])


def a_product_as_if_not_transposed(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(meter.FLOPS, "matmul", lambda A, out, **others: 2 * out.size * A.shape[-1])


def a_convolution_as_if_it_did_not_count(patch: pytest.MonkeyPatch) -> None:
    patch.delitem(meter.FLOPS, "convolve_input_gradient")


def a_convolution_by_the_size_of_its_result(patch: pytest.MonkeyPatch) -> None:
    wrong = lambda window, out, **others: 2 * out.size * window.values  # noqa: E731
    patch.setitem(meter.FLOPS, "convolve_weight_gradient", wrong)


def times_of_the_next_call(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(profiling, "timed", lambda calls: np.roll(timed(calls), -1).tolist())


def a_call_made_once_too_often(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(profiling, "timed", lambda calls: timed([calls[0], *calls])[1:])


def a_recording_left_behind(patch: pytest.MonkeyPatch) -> None:
    tanh = numpy_backend.tanh
    patch.setattr(numpy_backend, "tanh", tanh)  # to be undone
    patch.setattr(meter, "setattr", lambda *a: a[2] is tanh or setattr(*a), raising=False)


def gradients_of_all(what: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Of all "parameters", or also of the "input" of the first layer."""
    original = LinearPass.backward
    always = {"parameters": "parameter_grads", "input": "input_grad"}[what]

    def fault(patch: pytest.MonkeyPatch) -> None:
        backward = lambda self, dY, **asked: original(self, dY, **{**asked, always: True})  # noqa: E731
        patch.setattr(LinearPass, "backward", backward)

    fault.__name__ = f"gradients_of_all_{what}"
    return fault


def a_call_more(patch: pytest.MonkeyPatch) -> None:
    original = numpy_backend.sigmoid

    def sigmoid(X, out):
        original(X, out)
        numpy_recording.np.copyto(out, out)

    patch.setattr(numpy_backend, "sigmoid", sigmoid)


def losses_at_every_step(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("minigan.gan.records.PENDING", 1)


def a_pass_without_a_title(patch: pytest.MonkeyPatch) -> None:
    patch.delitem(mg.GAN.titles, "_on_fake")


def a_title_without_a_pass(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(mg.GAN.titles, "_none", "D as nothing")


def a_pass_told_twice(patch: pytest.MonkeyPatch) -> None:
    original = mg.GAN.passes
    patch.setattr(mg.GAN, "passes", lambda self: [*original(self), *original(self)])


FAULTS = [
    (calls_and_products_are_those_by_hand, a_call_missed),
    (calls_and_products_are_those_by_hand, a_product_as_if_not_transposed),
    (calls_and_products_are_those_by_hand, gradients_of_all("parameters")),
    (calls_and_products_are_those_by_hand, gradients_of_all("input")),
    (calls_and_products_are_those_by_hand, a_convolution_as_if_it_did_not_count),
    (operations_of_a_product, a_product_as_if_not_transposed),
    (operations_of_a_convolution, a_convolution_as_if_it_did_not_count),
    (operations_of_a_convolution, a_convolution_by_the_size_of_its_result),
    (only_what_is_read_is_computed, gradients_of_all("parameters")),
    (only_what_is_read_is_computed, gradients_of_all("input")),
    (each_part_has_its_rows, losses_at_every_step),
    (a_slow_kernel_is_seen_where_it_is, times_of_the_next_call),
    (a_captured_step_is_as_short_as_it_was, a_call_more),
    (a_profiled_step_is_a_step, a_call_made_once_too_often),
    (the_backend_is_left_as_it_was, a_recording_left_behind),
    (every_pass_has_a_title, a_pass_without_a_title),
    (every_pass_has_a_title, a_title_without_a_pass),
    (every_pass_has_a_title, a_pass_told_twice),
]


@pytest.mark.parametrize(("check", "fault"), FAULTS, ids=lambda f: f.__name__)
def test_a_check_passes_and_sees_a_fault(check, fault, monkeypatch):
    assert check(), "the check must pass before the fault is planted"
    fault(monkeypatch)
    assert not check(), "the check did not notice the fault"


@pytest.mark.usefixtures("bad_targets")
def test_the_checks_of_the_command_see_faults(monkeypatch, capsys):
    assert the_command_shows_what_it_measures(capsys)
    with monkeypatch.context() as patch:
        patch.setattr(command.plots, "save_figure", lambda figure, path: None)
        assert not the_command_shows_what_it_measures(capsys)
    with monkeypatch.context() as patch:
        patch.setattr(command_line, "guard", lambda name, work: work())
        assert not is_refused(*REFUSED[0], capsys)
