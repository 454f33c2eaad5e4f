"""Runs: the same bytes from the same seed, and from a resumed run."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import poisoned, registered_only_here, served
from safetensors import safe_open

import minigan as mg
from minigan.training.health import MEASURES
from minigan.training.history import columns_of


def make(dropout: bool = True, seed: int = 0) -> mg.GAN:
    """A small GAN with every kind of state: dropout, average, decay, noise streams."""
    drop = [mg.Dropout(0.2)] if dropout else []
    G = mg.Sequential(mg.Linear(2, 8), mg.ReLU(), *drop, mg.Linear(8, 1), seed=seed, name="g")
    D = mg.Sequential(
        mg.Pack(2), mg.Linear(4, 8), mg.ELU(), *drop, mg.Linear(8, 1), seed=seed, name="d"
    )
    decay = mg.LinearDecay(end=200)
    return mg.GAN(
        G,
        D,
        mg.Normal(dim=2),
        None,
        mg.Adam(G.parameters, 1e-2, (0.5, 0.9), decay=decay),
        mg.SGD(D.parameters, 1e-2, momentum=0.5, decay=decay),
        average=0.9,
    )


def start(out: Path, **options) -> mg.Trainer:
    data = options.pop("data") if "data" in options else mg.Gaussian(seed=0)
    seed = options.pop("seed", 0)  # of the networks
    settings = {"batch": 6, "print_every": 20, "checkpoint_every": 10, "progress": False}
    return mg.Trainer(make(seed=seed), data, out, **settings | options)


def failing_once() -> Callable[[mg.Trainer], None]:
    """A callback that fails when it is called first."""
    failures = [ZeroDivisionError()]

    def call(trainer: mg.Trainer) -> None:
        if failures:
            raise failures.pop()

    return call


FILES = ("checkpoint.safetensors", "history.csv", "recipe.json")


def checkpoint_of(folder: Path) -> bytes:
    return (folder / "checkpoint.safetensors").read_bytes()


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def test_two_runs_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        start(tmp_path / name).fit(steps=100)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    other = mg.Trainer(make(seed=1), mg.Gaussian(), tmp_path / "c", batch=6, progress=False)
    other.fit(steps=100)
    name = "checkpoint.safetensors"
    assert (tmp_path / "c" / name).read_bytes() != (tmp_path / "a" / name).read_bytes()


def interrupted(after: int) -> mg.Gaussian:
    """Data whose user presses Ctrl-C in the middle of a step."""

    def press(number: int, out: np.ndarray) -> None:
        if number > after:
            raise KeyboardInterrupt

    return served(mg.Gaussian(seed=0), press)


@pytest.mark.parametrize("stopped_after", [3, 10, 33, 40, 57, 99])
def test_resumed_run_gives_the_same_bytes(stopped_after, tmp_path):
    start(tmp_path / "whole").fit(steps=100)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "cut", data=interrupted(stopped_after)).fit(steps=100)
    trainer = mg.Trainer.resume(tmp_path / "cut", progress=False)
    assert trainer.gan.step_count == stopped_after // 10 * 10  # the last checkpoint
    trainer.fit(steps=100)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_resuming_many_times_gives_the_same_bytes(tmp_path):
    start(tmp_path / "whole").fit(steps=100)
    start(tmp_path / "parts").fit(steps=20)
    for goal in (40, 60, 100):
        mg.Trainer.resume(tmp_path / "parts", progress=False).fit(steps=goal)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_resume_with_finite_data(tmp_path):
    X = np.random.default_rng(0).normal(size=(25, 1))
    start(tmp_path / "whole", data=mg.Samples(X, seed=1)).fit(epochs=12)
    start(tmp_path / "parts", data=mg.Samples(X, seed=1)).fit(steps=20)
    mg.Trainer.resume(tmp_path / "parts", data=mg.Samples(X, seed=1), progress=False).fit(epochs=12)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    with pytest.raises(mg.ConfigError, match="pass them"):
        mg.Trainer.resume(tmp_path / "whole")
    with pytest.raises(mg.ConfigError, match="other data: sha256 differ"):
        mg.Trainer.resume(tmp_path / "whole", data=mg.Samples(X + 1, seed=1))
    with pytest.raises(mg.ConfigError, match="dtype"):
        mg.Trainer.resume(tmp_path / "whole", data=mg.Samples(X, seed=1, dtype="float64"))
    with pytest.raises(mg.ConfigError, match="wrap an array"):
        mg.Trainer.resume(tmp_path / "whole", data=X)


def test_epochs_count_samples(tmp_path):
    trainer = start(tmp_path, data=mg.Samples(np.zeros((25, 1)), seed=1))
    trainer.fit(epochs=2)
    assert trainer.gan.step_count == 9  # 50 samples in batches of 6


def test_a_finished_run_is_left_alone(tmp_path):
    start(tmp_path).fit(steps=40)
    before = contents(tmp_path)
    mg.Trainer.resume(tmp_path, progress=False).fit(steps=40)
    assert contents(tmp_path) == before


def test_checkpoint_holds_the_whole_state_and_no_code(tmp_path):
    start(tmp_path).fit(steps=20)
    with safe_open(tmp_path / "checkpoint.safetensors", framework="numpy") as file:
        names = set(file.keys())
        metadata = json.loads(file.metadata()["minigan"])
    for expected in (
        "generator/0.weight",
        "discriminator/4.bias",
        "generator.adam.g_sum/0.weight",
        "generator.adam.g2_sum/0.weight",
        "discriminator.sgd.velocity/1.weight",
        "generator.average/0.weight",
        "generator.adam/clock",
    ):
        assert expected in names
    assert metadata["step"] == 20
    counters = metadata["counters"]
    assert counters["stream/generator/g/2.dropout"] > 0
    assert counters["stream/gan/discriminator_noise"] > 0
    assert metadata["data"]["position"] > 0


def test_history_is_a_readable_csv(tmp_path):
    start(tmp_path).fit(steps=50)
    rows = mg.read_history(tmp_path / "history.csv")
    assert [row["step"] for row in rows] == [20, 40, 50]
    expected = ("step", "d_real", "d_fake", "g", "d_lr", "g_lr", *MEASURES, "rollbacks")
    assert tuple(rows[0]) == columns_of(make()) == expected
    assert rows[0]["g_lr"] == pytest.approx(1e-2 * (1 - 19 / 200))


def test_a_torn_last_line_of_the_history_is_written_again(tmp_path):
    start(tmp_path / "whole").fit(steps=100)
    start(tmp_path / "torn").fit(steps=60)
    path = tmp_path / "torn" / "history.csv"
    path.write_bytes(path.read_bytes() + b"80,0.6931,0.")
    mg.Trainer.resume(tmp_path / "torn", progress=False).fit(steps=100)
    assert contents(tmp_path / "torn") == contents(tmp_path / "whole")
    for damaged in ("", "a,b\n1,2\n", "step,mean\n1,x\n", "step,mean\n1,2,3\n"):
        path.write_text(damaged)
        with pytest.raises(mg.CheckpointError, match="not a history"):
            mg.Trainer.resume(tmp_path / "torn")


def test_lines_are_printed_in_the_articles_spirit(tmp_path, capsys):
    start(tmp_path, progress=True).fit(steps=20)
    line = capsys.readouterr().out
    for part in ("step", "20", "D real", "D fake", "G", "mean", "std"):
        assert part in line


def test_nan_stops_the_run_names_the_step_and_spares_the_checkpoint(tmp_path):
    trainer = start(tmp_path, data=poisoned(37))
    with np.errstate(all="ignore"), pytest.raises(mg.NonFiniteError, match=r"step 37.*d_real"):
        trainer.fit(steps=100)
    loaded = mg.load_checkpoint(tmp_path / "checkpoint.safetensors")
    assert loaded.metadata["step"] == 30
    assert all(np.isfinite(array).all() for array in loaded.tensors.values())


class TestRefusals:
    def test_settings(self, tmp_path):
        for options in ({"batch": 0}, {"print_every": -1}, {"checkpoint_every": 0}, {"batch": 2.5}):
            with pytest.raises(mg.ConfigError, match="integer >= 1"):
                start(tmp_path / "x", **options)
        assert not (tmp_path / "x").exists()
        trainer = start(tmp_path / "y")
        for goal in ({}, {"steps": 5, "epochs": 1}, {"steps": -1}, {"steps": -3}, {"epochs": 1}):
            with pytest.raises(mg.ConfigError):
                trainer.fit(**goal)

    def test_folder_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(mg.FileError, match="folder"):
            start(tmp_path / "file" / "run")

    def test_folder_that_is_taken(self, tmp_path):
        start(tmp_path)
        with pytest.raises(mg.ConfigError, match="already holds a run"):
            start(tmp_path)

    def test_folder_with_part_of_a_run(self, tmp_path):
        (tmp_path / "history.csv").write_text("mine")
        with pytest.raises(mg.ConfigError, match=r"history\.csv"):
            start(tmp_path)
        assert (tmp_path / "history.csv").read_text() == "mine"

    def test_recipe_that_is_not_json(self, tmp_path):
        with pytest.raises(mg.ConfigError, match="JSON"):
            start(tmp_path / "run", recipe={"x": object()})
        assert not (tmp_path / "run").exists()

    def test_things_that_are_no_gan_or_data(self, tmp_path):
        with pytest.raises(mg.ConfigError, match="wrap an array"):
            start(tmp_path / "x", data=np.zeros((5, 1)))
        with pytest.raises(mg.DTypeError, match="float64"):
            start(tmp_path / "x", data=mg.Samples(np.zeros((5, 1)), dtype="float64"))
        G = mg.Sequential(mg.Linear(1, 1), dtype="float64", name="g")
        D = mg.Sequential(mg.Linear(1, 1), dtype="float64", name="d")
        gan, data = mg.GAN(G, D, mg.Normal()), mg.Samples(np.zeros((5, 1)))
        with pytest.raises(mg.DTypeError, match="the data are float32, the networks float64"):
            mg.Trainer(gan, data, tmp_path / "x", batch=2)
        assert not (tmp_path / "x").exists()

    def test_what_only_looks_like_data(self, tmp_path):
        """It has all that a trainer asks for, and is no `DataSource`."""

        class Lookalike:
            size, features = None, 1

            def __init__(self) -> None:
                self.truth = mg.Gaussian()

            def __getattr__(self, name: str) -> Any:
                return getattr(self.truth, name)

        with pytest.raises(mg.ConfigError, match=r"a data source; wrap an array: mg\.Samples"):
            start(tmp_path / "x", data=Lookalike())
        assert not (tmp_path / "x").exists()

    def test_data_that_do_not_fit(self, tmp_path):
        with pytest.raises(mg.ShapeError, match="2 features"):
            start(tmp_path, data=mg.Samples(np.zeros((5, 2))))

    def test_resume_from_nothing(self, tmp_path):
        with pytest.raises(mg.CheckpointError, match="no run"):
            mg.Trainer.resume(tmp_path / "missing")
        (tmp_path / "file").write_text("")
        with pytest.raises(mg.CheckpointError, match="not a folder"):
            mg.Trainer.resume(tmp_path / "file")

    def test_resume_from_damage(self, tmp_path):
        start(tmp_path).fit(steps=20)
        good = (tmp_path / "recipe.json").read_text()
        for bad in (
            "",
            "[]",
            "{}",
            good.replace('"batch"', '"botch"'),
            good.replace("ELU", "EVIL"),
        ):
            (tmp_path / "recipe.json").write_text(bad)
            with pytest.raises(mg.CheckpointError):
                mg.Trainer.resume(tmp_path)
        (tmp_path / "recipe.json").write_text(good.replace('"std": 1.25', '"std": 2.0'))
        with pytest.raises(mg.CheckpointError, match=r"data.std is 2.0, was 1.25"):
            mg.Trainer.resume(tmp_path)
        (tmp_path / "recipe.json").write_text(good.replace('"batch": 6', '"batch": 8'))
        with pytest.raises(mg.CheckpointError, match=r"trainer.batch is 8, was 6"):
            mg.Trainer.resume(tmp_path)
        with pytest.raises(mg.DeviceError, match="cuda"):
            mg.Trainer.resume(tmp_path, device="cuda")
        (tmp_path / "recipe.json").write_text(good)
        path = tmp_path / "checkpoint.safetensors"
        (tmp_path / "checkpoint-previous.safetensors").unlink()
        whole = path.read_bytes()
        for damaged in (b"", whole[:5], whole[:-7], b"\xff" * 100):
            path.write_bytes(damaged)
            with pytest.raises(mg.CheckpointError):
                mg.Trainer.resume(tmp_path)

    def test_checkpoints_of_other_makes(self, tmp_path, monkeypatch):
        from safetensors.numpy import save_file

        save_file({"x": np.zeros(3)}, tmp_path / "other.safetensors")
        with pytest.raises(mg.CheckpointError, match="minigan"):
            mg.load_checkpoint(tmp_path / "other.safetensors")
        with monkeypatch.context() as later:
            later.setattr("minigan.training.checkpoint.FORMAT_VERSION", 99)
            mg.save_checkpoint(tmp_path / "v.safetensors", {"x": np.zeros(3)}, {})
        with pytest.raises(mg.CheckpointError, match="format 99"):
            mg.load_checkpoint(tmp_path / "v.safetensors")
        with pytest.raises(mg.CheckpointError, match="no checkpoint"):
            mg.load_checkpoint(tmp_path / "none.safetensors")

    def test_a_population_has_no_run(self, tmp_path):
        G = mg.Sequential(mg.Linear(1, 1), seed=[0, 1])
        D = mg.Sequential(mg.Linear(1, 1), seed=[0, 1])
        with pytest.raises(mg.ConfigError, match="population"):
            mg.Trainer(mg.GAN(G, D, mg.Normal()), mg.Gaussian(), tmp_path, batch=2)


def test_save_and_load_any_tensors(tmp_path):
    tensors = {
        "a": np.arange(6.0).reshape(2, 3).T,
        "b": np.zeros((0, 2), "float32"),
        "c": np.array(3.0),
    }
    mg.save_checkpoint(tmp_path / "x.safetensors", tensors, {"note": "hello"})
    loaded = mg.load_checkpoint(tmp_path / "x.safetensors")
    for name, array in tensors.items():
        np.testing.assert_array_equal(loaded.tensors[name], array, strict=True)
    assert loaded.metadata == {
        "note": "hello",
        "format": 2,
        "versions": {"minigan": mg.__version__, "numpy": np.__version__},
    }
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]  # no temporary file left
    with pytest.raises(mg.DTypeError, match="object"):
        mg.save_checkpoint(tmp_path / "x.safetensors", {"a": np.array([None])}, {})
    for name in ("__metadata__", "\ud800", 5):
        with pytest.raises(mg.ConfigError, match="cannot be stored"):
            mg.save_checkpoint(tmp_path / "x.safetensors", {name: np.zeros(1)}, {})
    for array in ([[1.0], [2.0, 3.0]], np.zeros(2, np.longdouble)):
        if getattr(array, "itemsize", 0) != 8:  # on some machines a longdouble is a float64
            with pytest.raises(mg.ConfigError, match="cannot be stored"):
                mg.save_checkpoint(tmp_path / "x.safetensors", {"a": array}, {})
    for metadata in ({"a": object()}, {"a": float("nan")}):
        with pytest.raises(mg.ConfigError, match="JSON"):
            mg.save_checkpoint(tmp_path / "x.safetensors", tensors, metadata)


def test_a_gan_that_was_trained_is_refused(tmp_path):
    """recipe.json could not say how it came about."""
    gan = make()
    for _ in range(5):
        gan.step(np.ones((6, 1)))
    with pytest.raises(mg.ConfigError, match=r"has taken 5 steps already: .*Trainer\.resume"):
        mg.Trainer(gan, mg.Gaussian(seed=0), tmp_path / "run", batch=6, progress=False)
    assert not (tmp_path / "run").exists()
    twin = mg.GAN.from_config(gan.to_config())  # as the sentence advises
    mg.Trainer(
        twin, mg.Gaussian(seed=0), tmp_path / "run", batch=6, print_every=20,
        checkpoint_every=10, progress=False,
    ).fit(steps=20)  # fmt: skip
    start(tmp_path / "whole").fit(steps=20)
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_of_a_finished_run_no_second_one_is_begun(tmp_path):
    trainer = start(tmp_path / "first")
    trainer.fit(steps=20)
    with pytest.raises(mg.ConfigError, match="has taken 20 steps already"):
        mg.Trainer(trainer.gan, mg.Gaussian(), tmp_path / "second", batch=6)
    assert not (tmp_path / "second").exists()


def test_a_learning_rate_changed_by_hand_is_state_that_resumes(tmp_path):
    for name in ("whole", "parts"):
        trainer = start(tmp_path / name)
        trainer.fit(steps=20)
        trainer.gan.generator_optimizer.lr = 1e-4
        trainer.fit(steps=40)
    trainer.fit(steps=60)
    trainer = mg.Trainer.resume(tmp_path / "whole", progress=False)
    assert trainer.gan.generator_optimizer.lr == 1e-4
    trainer.fit(steps=60)
    assert contents(tmp_path / "whole") == contents(tmp_path / "parts")


# -- what a run is made of ----------------------------------------------------------------


@pytest.fixture
def registry() -> Iterator[None]:
    """What a test registers is forgotten after it."""
    with registered_only_here():
        yield


class MyGAN(mg.GAN):
    pass


class MySequential(mg.Sequential):
    pass


class MyAdam(mg.Adam):
    pass


class MyGaussian(mg.Gaussian):
    pass


@dataclass(frozen=True)
class MyReLU(mg.ReLU):
    pass


@dataclass(frozen=True)
class MyNormal(mg.Normal):
    pass


@dataclass(frozen=True)
class MyLoss(mg.NonSaturating):
    pass


@dataclass(frozen=True)
class MyDrift(mg.Drift):
    pass


@dataclass(frozen=True)
class MyClip(mg.Clip):
    pass


def made_of(*mine: type, **settings: Any) -> tuple[mg.GAN, mg.DataSource]:
    """A GAN and its data, with some of minigan's classes replaced."""

    def one(cls: type) -> Any:
        return next((other for other in mine if issubclass(other, cls)), cls)

    net = one(mg.Sequential)
    G = net(mg.Linear(2, 8), one(mg.ReLU)(), mg.Linear(8, 1), name="g")
    D = mg.Sequential(mg.Linear(1, 8), mg.ELU(), mg.Linear(8, 1), name="d")
    gan = one(mg.GAN)(
        G, D, one(mg.Normal)(dim=2), one(mg.NonSaturating)(0.9), one(mg.Adam)(G.parameters, 1e-3),
        penalty=one(mg.Drift)(), constraint=one(mg.Clip)(0.3), **settings,
    )  # fmt: skip
    return gan, one(mg.Gaussian)()


#: Each with where it is found in a trainer.
MINE: list[tuple[type, Callable[[mg.Trainer], Any]]] = [
    (MyGAN, lambda t: t.gan),
    (MySequential, lambda t: t.gan.generator),
    (MyReLU, lambda t: t.gan.generator.layers[1]),
    (MyAdam, lambda t: t.gan.generator_optimizer),
    (MyNormal, lambda t: t.gan.noise),
    (MyLoss, lambda t: t.gan.loss),
    (MyDrift, lambda t: t.gan.penalty),
    (MyClip, lambda t: t.gan.constraint),
    (MyGaussian, lambda t: t.data),
]


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(("cls", "found"), MINE, ids=lambda value: value.__name__)
def test_a_class_of_ones_own_is_refused_until_it_is_registered(cls, found, tmp_path):
    """Without its class a run could not be opened again. With it, it is resumed as what it was."""
    with pytest.raises(mg.ConfigError, match=f"^{cls.__name__} is not registered, so a run that"):
        mg.Trainer(*made_of(cls), tmp_path / "cut", batch=6, progress=False)
    assert not (tmp_path / "cut").exists()
    mg.register(cls)
    for name, goal in (("cut", 10), ("whole", 30)):
        trainer = mg.Trainer(*made_of(cls), tmp_path / name, batch=6, progress=False)
        assert type(found(trainer)) is cls
        trainer.fit(steps=goal)
    resumed = mg.Trainer.resume(tmp_path / "cut", progress=False)
    assert type(found(resumed)) is cls
    resumed.fit(steps=30)
    assert checkpoint_of(tmp_path / "cut") == checkpoint_of(tmp_path / "whole")


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(("cls", "found"), MINE, ids=lambda value: value.__name__)
def test_a_run_whose_class_is_not_here_says_which_one(cls, found, tmp_path):
    with registered_only_here():
        mg.register(cls)
        mg.Trainer(*made_of(cls), tmp_path, batch=6, progress=False).fit(steps=5)
    told = rf"recipe\.json does not describe a run: there is no {cls.kind} called '{cls.__name__}'"
    for opened in (mg.Trainer.resume, *([] if cls is MyGaussian else [mg.load_run])):
        with pytest.raises(mg.CheckpointError, match=told) as caught:
            opened(tmp_path)
        assert len(str(caught.value)) < 400
    mg.register(cls)
    assert mg.Trainer.resume(tmp_path).gan.step_count == 5


class OfFewArguments(mg.GAN):
    """A game that decides its loss and its optimizers itself."""

    def __init__(self, generator: mg.Sequential, discriminator: mg.Sequential, noise: mg.Noise,
                 average: float | None = None, seed: int | None = None) -> None:  # fmt: skip
        super().__init__(
            generator, discriminator, noise, mg.LeastSquares(),
            mg.SGD(generator.parameters, 0.01), mg.SGD(discriminator.parameters, 0.01),
            average=average, seed=seed,
        )  # fmt: skip


@pytest.mark.usefixtures("registry")
def test_a_game_of_fewer_arguments_has_runs_as_any_other(tmp_path):
    mg.register(OfFewArguments)
    for name, goal in (("cut", 20), ("whole", 40)):
        plain, _ = made_of()
        gan = OfFewArguments(plain.generator, plain.discriminator, plain.noise, average=0.9)
        assert set(gan.settings()) == set(inspect.signature(OfFewArguments).parameters)
        trainer = mg.Trainer(gan, mg.Gaussian(), tmp_path / name, batch=6, progress=False)
        trainer.fit(steps=goal)
    vars(trainer.gan.average).update(decay=0.5)
    with pytest.raises(mg.ConfigError, match=r"average is 0\.5, was 0\.9"):
        trainer.save()
    resumed = mg.Trainer.resume(tmp_path / "cut", progress=False)
    assert type(resumed.gan) is OfFewArguments
    resumed.fit(steps=40)
    assert checkpoint_of(tmp_path / "cut") == checkpoint_of(tmp_path / "whole")


@dataclass(frozen=True)
class OfBounds(mg.Noise):
    """Noise of a tuple, which JSON makes a list of."""

    bounds: tuple[float, float] = (0.0, 1.0)
    dim: int = 2


@dataclass(frozen=True)
class OfArray(mg.Layer):
    """A layer of an array, which is not JSON."""

    weights: Any = None

    def bind(self, binding: Any) -> mg.LayerPass:
        return mg.LayerPass(binding)


@pytest.mark.usefixtures("registry")
def test_parts_that_would_come_back_different_are_refused(tmp_path):
    mg.register(OfBounds)
    mg.register(OfArray)
    G = mg.Sequential(mg.Linear(2, 1), name="g")
    D = mg.Sequential(mg.Linear(1, 1), name="d")
    odd = mg.Sequential(mg.Linear(2, 1), OfArray(np.ones(2)), name="g")
    for gan, told in (
        (mg.GAN(G, D, OfBounds()), "OfBounds.* is read back from a file as"),
        (mg.GAN(odd, D, mg.Normal(dim=2)), "the settings of OfArray are not JSON"),
    ):
        with pytest.raises(mg.ConfigError, match=told) as caught:
            mg.Trainer(gan, mg.Gaussian(), tmp_path / "x", batch=2)
        assert len(str(caught.value).splitlines()) == 1
        assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", mg.Trainer.fixed)
def test_what_a_run_is_cannot_be_replaced(name, tmp_path):
    trainer = start(tmp_path, recipe={"epochs": 3})
    before = getattr(trainer, name)
    for value in (object(), None, 7):
        with pytest.raises(mg.ConfigError, match=rf"Trainer\.{name} cannot be replaced; .{{10}}"):
            setattr(trainer, name, value)
    with pytest.raises(mg.ConfigError, match=rf"Trainer\.{name} cannot be deleted"):
        delattr(trainer, name)
    assert getattr(trainer, name) == before
    trainer.fit(steps=20)
    assert mg.Trainer.resume(tmp_path).description() == trainer.description()


def test_every_setting_of_a_run_is_among_those_that_cannot_be_replaced():
    settings = set(inspect.signature(mg.Trainer).parameters) - {"score", "progress"}
    assert settings <= set(mg.Trainer.fixed)


def test_one_recipe_of_two_runs_that_is_changed_in_between(tmp_path):
    """Each keeps what was handed to it."""
    recipe: dict[str, Any] = {"epochs": 3, "betas": [0.5, 0.9]}
    asked = {}
    trainers = {}
    for name in ("a", "b"):
        trainers[name] = start(tmp_path / name, recipe=recipe)
        asked[name] = copy.deepcopy(recipe)
        recipe["epochs"] = 9
        recipe["betas"][0] = 0.0
        recipe["more"] = name
    for name, trainer in trainers.items():
        assert trainer.recipe == asked[name]
        trainer.recipe["epochs"] = 27  # of a copy
        trainer.recipe["betas"].append(1.0)
        trainer.fit(steps=20)
        assert mg.load_run(tmp_path / name).recipe == asked[name]
        resumed = mg.Trainer.resume(tmp_path / name, progress=False)
        assert resumed.recipe == asked[name]
        resumed.fit(steps=40)
    assert asked["a"] != asked["b"]


# -- another loss in the middle of a run ----------------------------------------------------


@pytest.mark.parametrize("at", [20, 27])
def test_a_loss_set_in_the_middle_of_a_run_is_kept(at, tmp_path):
    """At a checkpoint, and between two. recipe.json says what the run began with."""
    loss = mg.Minimax(0.9, 0.1)
    for name, goal in (("whole", 70), ("parts", 40)):
        trainer = start(tmp_path / name)
        trainer.fit(steps=at)
        trainer.gan.set_loss(loss)
        trainer.fit(steps=goal)
        assert mg.read_recipe(tmp_path / name)["gan"]["loss"] == mg.NonSaturating().to_config()
    assert mg.load_run(tmp_path / "parts").gan.loss == loss
    resumed = mg.Trainer.resume(tmp_path / "parts", progress=False)
    assert resumed.gan.loss == loss
    resumed.fit(steps=70)
    assert checkpoint_of(tmp_path / "parts") == checkpoint_of(tmp_path / "whole")
    start(tmp_path / "other").fit(steps=70)
    assert checkpoint_of(tmp_path / "parts") != checkpoint_of(tmp_path / "other")


def test_a_loss_set_back_to_the_first_one_is_kept_too(tmp_path):
    trainer = start(tmp_path)
    for goal, loss in ((20, mg.Minimax()), (40, mg.NonSaturating())):
        trainer.fit(steps=goal)
        trainer.gan.set_loss(loss)
    trainer.fit(steps=60)
    assert mg.load_run(tmp_path).gan.loss == mg.NonSaturating()
    start(tmp_path / "other").fit(steps=60)
    assert checkpoint_of(tmp_path) != checkpoint_of(tmp_path / "other")


def test_a_loss_that_was_not_saved_is_forgotten(tmp_path):
    """A resumed run is what the checkpoint says."""
    trainer = start(tmp_path)
    trainer.fit(steps=20)
    trainer.gan.set_loss(mg.Minimax())
    assert mg.Trainer.resume(tmp_path).gan.loss == mg.NonSaturating()
    trainer.save()
    assert mg.Trainer.resume(tmp_path).gan.loss == mg.Minimax()


def test_the_losses_of_a_row_are_those_that_were_aimed_at(tmp_path):
    """Ten steps of one loss and ten of another in a row: the mean of both."""
    trainer = start(tmp_path, print_every=40, checkpoint_every=40)
    trainer.fit(steps=0)
    trainer.gan.bind(6)
    data, told = trainer.data, []
    by_hand = make()
    by_hand.bind(6)
    its_data = mg.Gaussian(seed=0)
    for loss in (mg.NonSaturating(), mg.LeastSquares()):
        by_hand.set_loss(loss)
        for _ in range(20):
            its_data.next_batch(out=by_hand.real)
            by_hand.step()
            told.append(list(by_hand.losses().values()))
    for _ in range(20):
        data.next_batch(out=trainer.gan.real)
        trainer.gan.step()
    trainer.gan.set_loss(mg.LeastSquares())
    trainer.fit(steps=40)
    (row,) = mg.read_history(tmp_path / "history.csv")
    found = [row[name] for name in ("d_real", "d_fake", "g")]
    np.testing.assert_allclose(found, np.mean(told, axis=0), rtol=1e-6)


def test_a_rollback_goes_back_to_the_loss_of_its_checkpoint(tmp_path):
    trainer = start(tmp_path, on_nan="rollback")
    trainer.fit(steps=20)
    trainer.gan.set_loss(mg.Minimax())
    bad = [np.nan]

    def poison(number: int, out: np.ndarray) -> None:
        if bad:
            out[0] = bad.pop()

    served(trainer.data, poison)
    with np.errstate(all="ignore"):
        trainer.fit(steps=40)
    assert trainer.rollbacks == 1
    assert trainer.gan.loss == mg.NonSaturating()


@dataclass(frozen=True)
class Unregistered(mg.NonSaturating):
    pass


def test_a_loss_that_could_not_be_kept_is_not_taken(tmp_path):
    trainer = start(tmp_path)
    trainer.fit(steps=20)
    for loss, told in (
        (Unregistered(), "Unregistered is not registered"),
        (mg.NonSaturating(probabilities=True), "end the discriminator in a Sigmoid"),
        ("hinge", "loss must be a Loss"),
    ):
        with pytest.raises(mg.ConfigError, match=told):
            trainer.gan.set_loss(loss)
        assert trainer.gan.loss == mg.NonSaturating()
    trainer.fit(steps=40)
    start(tmp_path / "whole").fit(steps=40)
    assert contents(tmp_path) == contents(tmp_path / "whole")


# -- a part that was changed behind the run's back --------------------------------------------

CHANGED: dict[str, tuple[Callable[[mg.GAN], Any], str]] = {
    "an optimizer's setting": (
        lambda gan: vars(gan.generator_optimizer).update(betas=(0.25, 0.9)),
        r"generator_optimizer\.betas\[0\] is 0\.25, was 0\.5",
    ),
    "another setting": (
        lambda gan: vars(gan.discriminator_optimizer).update(momentum=0.9),
        r"discriminator_optimizer\.momentum is 0\.9, was 0\.5",
    ),
    "its decay": (
        lambda gan: vars(gan.generator_optimizer).update(decay=mg.LinearDecay(end=300)),
        r"generator_optimizer\.decay\.end is 300, was 200",
    ),
    "the noise": (
        lambda gan: vars(gan).update(noise=mg.Uniform(dim=2)),
        r"noise\.noise is .Uniform., was .Normal.",
    ),
    "a setting of the noise": (
        lambda gan: vars(gan.noise).update(std=3.0),
        r"noise\.std is 3\.0, was 1\.0",
    ),
    "a layer's rate": (
        lambda gan: vars(gan.generator.layers[2]).update(rate=0.5),
        r"generator\.layers\[2\]\.rate is 0\.5, was 0\.2",
    ),
    "a layer": (
        lambda gan: vars(gan.generator).update(
            layers=(mg.Linear(2, 8), mg.Tanh(), *gan.generator.layers[2:])
        ),
        r"generator\.layers\[1\]\.layer is .Tanh., was .ReLU.",
    ),
    "the updates a step": (lambda gan: vars(gan).update(d_steps=2), "d_steps is 2, was 1"),
    "the average": (
        lambda gan: vars(gan.average).update(decay=0.5),
        r"average is 0\.5, was 0\.9",
    ),
    "a constraint": (
        lambda gan: vars(gan).update(constraint=mg.Clip()),
        r"constraint is \{.*Clip.*\}, was null",
    ),
}


@pytest.mark.parametrize("what", CHANGED)
def test_a_part_changed_in_the_middle_of_a_run_is_an_error_at_the_next_save(what, tmp_path):
    """Nothing that is said of the run would be true. The last checkpoint stays."""
    change, told = CHANGED[what]
    trainer = start(tmp_path)
    trainer.fit(steps=20)
    before = checkpoint_of(tmp_path)
    change(trainer.gan)
    with pytest.raises(mg.ConfigError, match="not what it was when it started: .*" + told):
        trainer.save()
    with pytest.raises(mg.ConfigError, match="not what it was when it started"):
        trainer.fit(steps=40)
    assert checkpoint_of(tmp_path) == before
    assert mg.Trainer.resume(tmp_path, progress=False).gan.step_count == 20


def test_what_is_state_may_change(tmp_path):
    """Learning rates and the loss."""
    trainer = start(tmp_path)
    trainer.fit(steps=20)
    trainer.gan.generator_optimizer.lr = 1e-4
    trainer.gan.set_loss(mg.Minimax())
    trainer.save()
    resumed = mg.Trainer.resume(tmp_path)
    assert (resumed.gan.generator_optimizer.lr, resumed.gan.loss) == (1e-4, mg.Minimax())
    assert resumed.description() == trainer.description()


def test_a_part_that_was_changed_is_an_error_in_a_resumed_run_too(tmp_path):
    start(tmp_path).fit(steps=20)
    resumed = mg.Trainer.resume(tmp_path, progress=False)
    vars(resumed.gan.generator_optimizer).update(betas=(0.25, 0.9))
    with pytest.raises(mg.ConfigError, match=r"betas\[0\] is 0\.25, was 0\.5"):
        resumed.fit(steps=40)


# -- real samples of its own for each update of D ---------------------------------------------


def fresh(folder: Path, fresh_real: bool, size: int = 25, **options: Any) -> mg.Trainer:
    """Batches of 4, three updates of D a step."""
    gan, _ = made_of(d_steps=3, fresh_real=fresh_real)
    data = mg.Samples(np.random.default_rng(0).normal(size=(size, 1)), seed=1)
    settings = {"batch": 4, "unit": "epoch", "print_every": 1, "progress": False}
    return mg.Trainer(gan, data, folder, **settings | options)


@pytest.mark.parametrize(("fresh_real", "served"), [(True, 12), (False, 4)])
def test_epochs_count_the_samples_that_were_served(fresh_real, served, tmp_path):
    trainer = fresh(tmp_path, fresh_real)
    seen = []
    trainer.every(1, "row", lambda t: seen.append((t.gan.step_count, t.epoch)))
    trainer.fit(epochs=5)
    ends = [-(-epoch * 25 // served) for epoch in range(1, 6)]
    assert seen == [(step, step * served // 25) for step in ends]
    assert trainer.gan.step_count == ends[-1]
    assert trainer.data.state() == {"position": ends[-1] * served}


def test_a_run_of_fresh_samples_is_resumed_with_the_same_bytes(tmp_path):
    fresh(tmp_path / "whole", True).fit(epochs=9)
    fresh(tmp_path / "cut", True).fit(epochs=4)
    data = mg.Samples(np.random.default_rng(0).normal(size=(25, 1)), seed=1)
    resumed = mg.Trainer.resume(tmp_path / "cut", data=data, progress=False)
    assert resumed.epoch == 4
    resumed.fit(epochs=9)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_a_batch_changed_by_hand_does_not_last(tmp_path):
    trainer = start(tmp_path)
    trainer.gan.step(np.zeros((8, 1)))
    trainer.fit(steps=5)
    assert trainer.gan.batch == trainer.batch == 6


@pytest.mark.parametrize(
    ("size", "batch", "print_every", "save_every"),
    [(10, 5, 1, 2), (7, 3, 1, 2), (7, 3, 2, 3), (2, 9, 1, 4), (1, 1, 2, 5), (25, 6, 3, 1)],
)
def test_intervals_counted_in_epochs(size, batch, print_every, save_every, tmp_path, monkeypatch):
    """Epoch k ends with the step that serves sample k * size; several may share a step."""
    saved = []
    save = mg.Trainer.save

    def recording(self, scored=False):
        saved.append(self.gan.step_count)
        save(self, scored=scored)

    monkeypatch.setattr(mg.Trainer, "save", recording)
    trainer = start(
        tmp_path,
        data=mg.Samples(np.zeros((size, 1)), seed=1),
        batch=batch * 2,  # packs of two
        unit="epoch",
        print_every=print_every,
        checkpoint_every=save_every,
    )
    seen = []
    trainer.every(1, "row", lambda t: seen.append((t.gan.step_count, t.epoch)))
    trainer.fit(epochs=12)
    end = [-(-epoch * size // (batch * 2)) for epoch in range(13)]  # steps
    rows = [int(row["step"]) for row in mg.read_history(tmp_path / "history.csv")]
    assert rows == sorted(set(end[print_every::print_every]) | {end[12]})
    assert saved == [0, *sorted(set(end[save_every::save_every]) | {end[12]})]
    assert seen == [(step, step * batch * 2 // size) for step in rows]


def test_what_cannot_be_counted_in_epochs(tmp_path):
    with pytest.raises(mg.ConfigError, match="no epochs"):
        start(tmp_path / "a", unit="epoch")
    with pytest.raises(mg.ConfigError, match="'step' or 'epoch'"):
        start(tmp_path / "a", unit="minute")
    assert not (tmp_path / "a").exists()


def test_a_run_of_no_steps_has_a_checkpoint(tmp_path):
    start(tmp_path).fit(steps=0)
    assert mg.load_run(tmp_path).gan.step_count == 0
    before = contents(tmp_path)
    mg.Trainer.resume(tmp_path, progress=False).fit(steps=0)
    assert contents(tmp_path) == before


def test_a_run_is_opened_without_its_data(tmp_path):
    data = mg.Samples(np.random.default_rng(0).normal(size=(25, 1)), seed=1)
    trainer = start(tmp_path, data=data, recipe={"name": "mine"})
    trainer.fit(steps=30)
    opened = mg.load_run(tmp_path)
    assert opened.recipe == {"name": "mine"}
    assert opened.data["sha256"] == data.sha256
    np.testing.assert_array_equal(opened.gan.sample(9, seed=1), trainer.gan.sample(9, seed=1))
    for damage in (b"[]", b"{}", b'{"gan": 1, "data": 2, "trainer": 3}'):
        (tmp_path / "recipe.json").write_bytes(damage)
        with pytest.raises(mg.CheckpointError, match=r"recipe\.json does not describe a run"):
            mg.load_run(tmp_path)


def test_a_checkpoint_may_have_no_tensors_and_tensors_any_name(tmp_path):
    for tensors in ({}, {"__x": np.ones(2), "é/0": np.zeros(1)}):
        mg.save_checkpoint(tmp_path / "x.safetensors", tensors, {"note": "é"})
        loaded = mg.load_checkpoint(tmp_path / "x.safetensors")
        assert set(loaded.tensors) == set(tensors)
        assert loaded.metadata["note"] == "é"


@pytest.mark.parametrize("dtype", [">f4", ">i8", "f2", "?", "u1"])
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 1)])
def test_what_is_saved_can_be_loaded(dtype, shape, tmp_path):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    mg.save_checkpoint(tmp_path / "x.safetensors", {"\n\0": array, "": array}, {})
    for loaded in mg.load_checkpoint(tmp_path / "x.safetensors").tensors.values():
        np.testing.assert_array_equal(loaded, array)
        assert (loaded.shape, loaded.dtype) == (shape, np.dtype(dtype).newbyteorder("="))


def test_a_trainer_is_neither_copied_nor_pickled(tmp_path):
    trainer = start(tmp_path)
    for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(mg.ConfigError, match=r"cannot be copied or pickled.*Trainer\.resume"):
            duplicate(trainer)
    trainer.fit(steps=10)
