"""Settings from outside, each checked once; and what is raised where one is wrong."""

from __future__ import annotations

import dataclasses
import decimal
import errno
import fractions
import inspect
import pickle

import numpy as np
import pytest
from conditional_games import conditional, info
from running import ROOT

import minigan as mg
from minigan import data, errors, evaluation, experiment, gan, nn, training
from minigan.checks import LARGEST, SMALLEST, flag, number, set_fields, whole


@pytest.mark.parametrize("value", [3, 4, 10**30, np.int64(3), np.uint8(3)])
def test_whole_numbers(value):
    result = whole("x", value, 3)
    assert type(result) is int
    assert result == value


@pytest.mark.parametrize("value", [2, -3, 3.0, "3", None, True, np.float64(3), [3], np.nan])
def test_what_is_no_whole_number(value):
    with pytest.raises(mg.ConfigError) as caught:
        whole("rows", value, 3)
    assert str(caught.value) == f"rows must be an integer >= 3, not {value!r}"


@pytest.mark.parametrize("value", [0, 1])
def test_a_flag_is_no_whole_number(value):
    assert whole("x", value, 0) == value
    with pytest.raises(mg.ConfigError):
        whole("x", bool(value), 0)


@pytest.mark.parametrize("value", [True, False, np.True_, np.False_], ids=repr)
def test_a_flag_comes_out_as_a_bool(value):
    result = flag("x", value)
    assert type(result) is bool
    assert result == value


@pytest.mark.parametrize("value", [0, 1, 0.0, None, "True", [], [True], np.int64(1)], ids=repr)
def test_what_is_no_flag(value):
    with pytest.raises(mg.ConfigError) as caught:
        flag("bias", value)
    assert str(caught.value) == f"bias must be True or False, not {value!r}"


BOUNDS = [
    # bounds, the least and the largest number within them, and one beyond each
    ({"at_least": 0.0}, 0.0, LARGEST, -5e-324, np.nextafter(LARGEST, np.inf)),
    ({"above": 0.0}, SMALLEST, LARGEST, 0.0, 1e308),
    ({"above": 0.0}, SMALLEST, LARGEST, np.nextafter(SMALLEST, 0.0), 1e39),
    ({"at_most": 1.0}, -LARGEST, 1.0, -1e39, np.nextafter(1.0, 2.0)),
    ({"below": 1.0}, -LARGEST, np.nextafter(1.0, 0.0), -1e308, 1.0),
    ({"at_least": 0.0, "below": 1.0}, 0.0, np.nextafter(1.0, 0.0), -5e-324, 1.0),
    ({"above": -1.0, "at_most": 2.0}, np.nextafter(-1.0, 0.0), 2.0, -1.0, np.nextafter(2.0, 3.0)),
]


@pytest.mark.parametrize(("bounds", "least", "largest", "under", "over"), BOUNDS, ids=str)
def test_numbers_within_bounds(bounds, least, largest, under, over):
    for value in (least, largest):
        assert number("x", value, **bounds) == value
    for value in (under, over):
        if value is not None:
            with pytest.raises(mg.ConfigError):
                number("x", value, **bounds)


@pytest.mark.parametrize(
    "value", [1, 1.0, np.float32(1), np.int8(1), fractions.Fraction(1, 1)], ids=repr
)
def test_a_number_comes_out_as_a_float(value):
    result = number("x", value)
    assert type(result) is float
    assert result == 1.0


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        -float("inf"),
        10**400,
        True,
        "1",
        None,
        1j,
        [1.0],
        decimal.Decimal(1),
    ],
    ids=repr,
)
def test_what_is_no_number(value):
    with pytest.raises(mg.ConfigError) as caught:
        number("rate", value, at_least=0.0, below=0.5)
    assert str(caught.value) == (f"rate must be a finite number and >= 0 and < 0.5, not {value!r}")
    with pytest.raises(mg.ConfigError, match="rate must be a finite number and > 1 and <= 2, not"):
        number("rate", value, above=1.0, at_most=2.0)


BEYOND_FLOAT32 = {
    "Adam: eps is 1e-46": lambda: mg.Adam(nets()[0].parameters, eps=1e-46),
    "Clip: limit is 1e\\+39": lambda: mg.Clip(1e39),
    "Gaussian: |mean| \\+ 6 std is": lambda: mg.Gaussian(3e38, 1e37),
    "LeakyReLU: slope is 1e-46": lambda: mg.LeakyReLU(1e-46),
    "LinearDecay: end must be a finite number": lambda: mg.LinearDecay(10**400),
    "Normal: |mean| \\+ 6 std is 6e\\+38": lambda: mg.Normal(0.0, 1e38),
    "Uniform: high - low is 6e\\+38": lambda: mg.Uniform(-3e38, 3e38),
    "Uniform: low is -1.7e\\+308": lambda: mg.Uniform(-1.7e308, 1.7e308),
}


@pytest.mark.parametrize("said", BEYOND_FLOAT32)
def test_a_setting_that_float32_cannot_hold_is_refused(said):
    """It would be zero or infinite there, and what is computed with it NaN."""
    with pytest.raises(mg.ConfigError, match=said.replace("|", r"\|")):
        BEYOND_FLOAT32[said]()


def test_the_largest_noise_and_data_are_finite():
    """At the largest settings that are accepted: the limits are not a bit too wide."""
    stream, ops = mg.Stream(0, "noise"), nets()[0].ops
    out = np.empty((500, 400), np.float32)  # (B, dim)
    for noise in (mg.Uniform(-LARGEST / 2, LARGEST / 2), mg.Normal(0.0, LARGEST / 6.0001)):
        noise.fill(ops, stream, out)
        assert np.isfinite(out).all()
        assert abs(out).max() > LARGEST / 2.1


def nets() -> tuple[mg.Sequential, mg.Sequential]:
    G = mg.Sequential(mg.Linear(1, 1), name="generator")
    return G, mg.Sequential(mg.Linear(1, 1), name="discriminator")


def game(**settings) -> mg.GAN:
    return mg.GAN(*nets(), mg.Uniform(), **settings)


def trainer(folder, **settings) -> mg.Trainer:
    return mg.Trainer(game(), mg.Gaussian(), folder / "run", batch=2, **settings)


def forwarded(makes):
    """A network or a pass, after a forward."""
    makes.forward(X)
    return makes


def images() -> mg.ImageSet:
    return mg.load_images("digits")


X = np.zeros((2, 1), np.float32)  # (B, F)
#: A call for each flag of the public surface, in an empty folder.
FLAGS = {
    "Conv2d: bias": lambda folder, **no: mg.Conv2d(1, 1, **no),
    "ConvTranspose2d: bias": lambda folder, **no: mg.ConvTranspose2d(1, 1, **no),
    "ConditionalGAN: fresh_real": lambda folder, **no: conditional(**no),
    "ConditionalGAN: same_noise": lambda folder, **no: conditional(**no),
    "ConditionalGAN.capture: on": lambda folder, **no: conditional().capture(**no),
    "GAN: fresh_real": lambda folder, **no: game(**no),
    "GAN: same_noise": lambda folder, **no: game(**no),
    "GAN.capture: on": lambda folder, **no: game().capture(**no),
    "InfoGAN.capture: on": lambda folder, **no: info().capture(**no),
    "Linear: bias": lambda folder, **no: mg.Linear(1, 1, **no),
    "GradientPenalty: one_sided": lambda folder, **no: mg.GradientPenalty(**no),
    "Minimax: probabilities": lambda folder, **no: mg.Minimax(**no),
    "NonSaturating: probabilities": lambda folder, **no: mg.NonSaturating(**no),
    "Options: dry_run": lambda folder, **no: experiment.Options(**no),
    "Options: resume": lambda folder, **no: experiment.Options(**no),
    "Pack: deviations": lambda folder, **no: mg.Pack(2, **no),
    "Pass: apart": lambda folder, **no: nets()[0].bind(2, **no),
    "Pass: keep_buffers": lambda folder, **no: nets()[0].bind(2, **no),
    "Pass: own_gradients": lambda folder, **no: nets()[0].bind(2, **no),
    "Pass.backward: input_grad": lambda folder, **no: forwarded(nets()[0].bind(2)).backward(
        X, **no
    ),
    "Pass.backward: parameter_grads": lambda folder, **no: forwarded(nets()[0].bind(2)).backward(
        X, **no
    ),
    "Pass.forward: train": lambda folder, **no: forwarded(nets()[0].bind(2)).forward(X, **no),
    "Pass.hold: on": lambda folder, **no: forwarded(nets()[0].bind(2)).hold(**no),
    "Sequential.backward: input_grad": lambda folder, **no: forwarded(nets()[0]).backward(X, **no),
    "Sequential.backward: parameter_grads": lambda folder, **no: forwarded(nets()[0]).backward(
        X, **no
    ),
    "Sequential.forward: train": lambda folder, **no: nets()[0].forward(X, **no),
    "Trainer: progress": lambda folder, **no: trainer(folder, **no),
    "Trainer.fit: capture": lambda folder, **no: trainer(folder, progress=False).fit(1, **no),
    "Trainer.resume: progress": lambda folder, **no: mg.Trainer.resume(
        trainer(folder, progress=False).out, **no
    ),
    "Trainer.save: scored": lambda folder, **no: trainer(folder, progress=False).save(**no),
    "gradcheck: train": lambda folder, **no: mg.gradcheck(nets()[0], X, **no),
    "load_classifier: progress": lambda folder, **no: evaluation.load_classifier(
        images(), folder, **no
    ),
    "load_images: download": lambda folder, **no: mg.load_images("digits", **no),
    "load_images: progress": lambda folder, **no: mg.load_images("digits", **no),
    "load_run: best": lambda folder, **no: mg.load_run(folder, **no),
    "load_run: previous": lambda folder, **no: mg.load_run(folder, **no),
    "score_classes: progress": lambda folder, **no: evaluation.score_classes(
        conditional(), images(), None, **no
    ),
    "sweep: progress": lambda folder, **no: mg.sweep(
        ROOT / "examples" / "gaussian1d.py", out=folder / "sweep", **no
    ),
}


def flags() -> set[str]:
    """Every flag of what minigan and its packages export, as "GAN.capture: on".

    What calls a layer gives it its flags, and a result or an error carries what it is given.
    """
    found = set()
    for package in (mg, data, evaluation, experiment, gan, nn, training):
        for name in getattr(package, "__all__", vars(package)):
            thing = getattr(package, name)
            places = [(name, thing)] if callable(thing) and not inspect.ismodule(thing) else []
            if inspect.isclass(thing):
                members = inspect.getmembers(thing, inspect.isroutine)
                places += [(f"{name}.{key}", each) for key, each in members if key[0] != "_"]
            for place, call in places:
                try:
                    taken = inspect.signature(call).parameters.values()
                except (TypeError, ValueError):  # a type alias, or a built-in class
                    continue
                found |= {
                    f"{place}: {one.name}"
                    for one in taken
                    if str(one.annotation) == "bool" and one.kind is not one.VAR_KEYWORD
                }
    given = ("LayerPass", "Game", "DownloadError")  # GAN has all of Game's
    return {flag for flag in found if not flag.startswith(given)}


def test_every_flag_has_a_call_above():
    assert flags() == set(FLAGS)


@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_must_be_true_or_false(name, tmp_path):
    argument = name.split(": ")[1]
    with pytest.raises(mg.ConfigError, match=f"{argument} must be True or False, not 'no'"):
        FLAGS[name](tmp_path, **{argument: "no"})


def test_fields_of_a_frozen_definition_are_set():
    @dataclasses.dataclass(frozen=True)
    class Settings:
        a: int = 1
        b: int = 2
        c: int = 3

    settings = Settings()
    set_fields(settings, a=10, b=20)
    assert settings == Settings(10, 20, 3)


#: Every error, with the built-in exception that a Python programmer would expect.
EXPECTED = {
    "ConfigError": ValueError,
    "ShapeError": ValueError,
    "DTypeError": TypeError,
    "DeviceError": RuntimeError,
    "OrderError": RuntimeError,
    "DataError": ValueError,
    "FileError": OSError,
    "CheckpointError": ValueError,
    "DamagedError": ValueError,
    "BusyError": RuntimeError,
    "NonFiniteError": ArithmeticError,
    "WorkerError": RuntimeError,
    "CallbackError": RuntimeError,
    "DownloadError": OSError,
}


def test_errors_are_of_the_family_and_of_the_kind_one_expects():
    found = {
        name: kind
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, mg.MiniganError)
    }
    assert set(found) == {*EXPECTED, "MiniganError"}
    for name, builtin in EXPECTED.items():
        assert issubclass(found[name], builtin), name
    assert issubclass(errors.DamagedError, mg.CheckpointError)
    assert issubclass(mg.Interrupted, KeyboardInterrupt)
    assert not issubclass(mg.Interrupted, Exception)  # which `except Exception` would swallow


def test_what_errors_carry():
    full = mg.FileError(errno.ENOSPC, "cannot write x: no space")
    assert (str(full), full.errno) == ("cannot write x: no space", errno.ENOSPC)
    assert str(mg.FileError("only words")) == "only words"
    assert str(mg.FileError()) == ""
    assert mg.FileError(None, "words").errno is None
    assert not mg.DownloadError("words").offline
    offline = mg.DownloadError("words", offline=True)
    assert (str(offline), offline.offline) == ("words", True)
    ended = mg.Interrupted("saved", 15)
    ended.__notes__ = ["a note"]
    for one in (ended, pickle.loads(pickle.dumps(ended))):
        assert (str(one), one.signum, one.__notes__) == ("saved", 15, ["a note"])


@pytest.mark.parametrize("kind", [mg.ConfigError, mg.FileError, mg.BusyError, mg.NonFiniteError])
def test_an_error_is_one_line_without_control_characters(kind):
    """It may name what a file holds, such as a tensor."""
    assert str(kind("tensor 'a\nb\x1b[2J\u00e9' is unknown")) == "tensor 'a b?[2Jé' is unknown"
