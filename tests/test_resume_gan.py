"""A run that goes on with a game its recipe has built again: the same one, or it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conditional_games import conditional, info, labelled, moving
from harness import on_samples, registered_only_here, start

import minigan as mg
from minigan.cli.main import main

FILES = ("checkpoint.safetensors", "history.csv", "recipe.json")


RELU, NORMAL = mg.ReLU(), mg.Normal(dim=2)


def game(
    kind: type[mg.GAN] = mg.GAN,
    layer: mg.Layer = RELU,
    width: int = 8,
    dtype: str = "float32",
    seed: int = 0,
    target: float = 0.9,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.5, 0.9),
    end: int = 100,
    optimizer: Callable[..., mg.Optimizer] = mg.SGD,
    noise: mg.Noise = NORMAL,
    average: float | None = 0.9,
    **settings: Any,
) -> mg.GAN:
    """A GAN in which one thing can be another."""
    G = mg.Sequential(
        *(mg.Linear(noise.dim, width), layer, mg.Dropout(0.2), mg.Linear(width, 1)),
        dtype=dtype, seed=seed, name="g",
    )  # fmt: skip
    D = mg.Sequential(mg.Linear(1, 8), mg.ELU(), mg.Linear(8, 1), dtype=dtype, name="d")
    return kind(
        G, D, noise, mg.NonSaturating(target),
        mg.Adam(G.parameters, lr, betas, decay=mg.LinearDecay(end)),
        optimizer(D.parameters, 1e-2), average=average, **settings,
    )  # fmt: skip


def begin(out: Path, **options: Any) -> mg.Trainer:
    settings = {"batch": 8, "print_every": 10, "checkpoint_every": 5, "progress": False}
    return mg.Trainer(game(), mg.Gaussian(), out, **settings | options)


def same_files(one: Path, other: Path) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in FILES)


def test_the_same_game_goes_on_to_the_same_bytes(tmp_path):
    begin(tmp_path / "whole").fit(steps=40)
    begin(tmp_path / "cut").fit(steps=20)
    mine = game()
    trainer = mg.Trainer.resume(tmp_path / "cut", gan=mine, progress=False)
    assert trainer.gan is mine
    assert mine.step_count == 20
    trainer.fit(steps=40)
    assert same_files(tmp_path / "cut", tmp_path / "whole")


def test_a_game_and_its_data(tmp_path):
    on_samples(tmp_path / "whole").fit(steps=40)
    on_samples(tmp_path / "cut").fit(steps=20)
    other = on_samples(tmp_path / "other")
    settings = {"gan": other.gan, "data": other.data, "progress": False}
    trainer = mg.Trainer.resume(tmp_path / "cut", changes={"print_every": 20}, **settings)
    assert (trainer.gan, trainer.data) == (other.gan, other.data)
    trainer.fit(steps=40)
    name = "history.csv"
    rows = [mg.read_history(tmp_path / folder / name)[-1] for folder in ("cut", "whole")]
    assert rows[0]["auc"] == rows[1]["auc"]
    assert [row["step"] for row in mg.read_history(tmp_path / "cut" / name)] == [10, 20, 40]


def stepped(batch: int, capture: bool) -> mg.GAN:
    """The game after some steps by hand."""
    gan = game()
    gan.bind(batch)
    gan.capture(capture)
    for _ in range(7):
        gan.step(np.ones((batch, 1)))
    gan.sample(3)
    return gan


@pytest.mark.parametrize("capture", [False, True])
@pytest.mark.parametrize("batch", [8, 5])
def test_of_a_game_that_was_trained_before_nothing_is_left(batch, capture, tmp_path):
    """Not in its weights, nor its streams, nor the losses that wait for a row."""
    begin(tmp_path / "whole").fit(steps=40)
    begin(tmp_path / "cut").fit(steps=20)
    trainer = mg.Trainer.resume(tmp_path / "cut", gan=stepped(batch, capture), progress=False)
    trainer.fit(steps=40)
    assert same_files(tmp_path / "cut", tmp_path / "whole")


def test_what_is_state_is_no_difference(tmp_path):
    """A rate that was set, and a loss that was: the game has them from the checkpoint."""
    for name in ("whole", "cut"):
        trainer = begin(tmp_path / name)
        trainer.fit(steps=10)
        trainer.gan.set_loss(mg.Minimax())
        trainer.change({"generator_lr": 0.25})
        trainer.fit(steps=20 if name == "cut" else 40)
    resumed = mg.Trainer.resume(tmp_path / "cut", gan=game(), progress=False)
    assert resumed.gan.generator_optimizer.lr == 0.25
    assert resumed.gan.loss == mg.Minimax()
    resumed.fit(steps=40)
    assert same_files(tmp_path / "cut", tmp_path / "whole")


class Mine(mg.GAN):
    """A game of one's own that is the usual one."""


def with_rate(lr: float) -> mg.GAN:
    """The game, whose rate was changed by hand."""
    gan = game()
    gan.generator_optimizer.lr = lr
    return gan


def with_loss(loss: mg.Loss) -> mg.GAN:
    """The game, whose loss was changed by hand."""
    gan = game()
    gan.set_loss(loss)
    return gan


ADAM = '"Adam", was "SGD"'
#: Of each other game: how it is made, and what is said of it.
OTHERS: dict[str, tuple[Callable[[], mg.GAN], list[str]]] = {
    "layer": (lambda: game(layer=mg.Tanh()), ['generator.layers[1].layer is "Tanh", was "ReLU"']),
    "a setting of a layer": (
        lambda: game(layer=mg.LeakyReLU(0.3)),
        [
            'generator.layers[1].layer is "LeakyReLU", was "ReLU"',
            "generator.layers[1].slope is 0.3, was missing",
        ],
    ),
    "width": (
        lambda: game(width=9),
        [
            "generator.layers[0].out_features is 9, was 8",
            "generator.layers[3].in_features is 9, was 8",
        ],
    ),
    "target": (lambda: game(target=0.8), ["loss.real_target is 0.8, was 0.9"]),
    "loss": (
        lambda: with_loss(mg.Minimax(0.9)),
        [
            "loss.generator_target is missing, was 1.0",
            'loss.loss is "Minimax", was "NonSaturating"',
        ],
    ),
    "betas": (lambda: game(betas=(0.5, 0.8)), ["generator_optimizer.betas[1] is 0.8, was 0.9"]),
    "rate": (lambda: game(lr=2e-3), ["generator_optimizer.lr is 0.002, was 0.001"]),
    "a rate set by hand": (lambda: with_rate(0.5), ["generator_optimizer.lr is 0.5, was 0.001"]),
    "decay": (lambda: game(end=200), ["generator_optimizer.decay.end is 200, was 100"]),
    "noise": (
        lambda: game(noise=mg.Normal(std=2.0, dim=2)),
        ["noise.std is 2.0, was 1.0"],
    ),
    "average": (lambda: game(average=0.99), ["average is 0.99, was 0.9"]),
    "no average": (lambda: game(average=None), ["average is null, was 0.9"]),
    "updates": (lambda: game(d_steps=2), ["d_steps is 2, was 1"]),
    "penalty": (
        lambda: game(penalty=mg.Drift()),
        ['penalty is {"epsilon": 0.001, "penalty": "Drift"}, was null'],
    ),
    "seed": (lambda: game(seed=1), ["generator.seed is 1, was 0", "seed is 1, was 0"]),
    "dtype": (
        lambda: game(dtype="float64"),
        ['discriminator.dtype is "float64", was "float32"',
         'generator.dtype is "float64", was "float32"'],
    ),
    "class": (lambda: game(Mine), ['game is "Mine", was "GAN"']),
}  # fmt: skip


@pytest.mark.parametrize("what", OTHERS)
def test_another_game_is_refused_in_one_sentence(what, tmp_path):
    """Which says what differs, and how. Neither the run nor the game is changed."""
    make, told = OTHERS[what]
    begin(tmp_path).fit(steps=10)
    before = {file: file.read_bytes() for file in tmp_path.glob("[!.]*")}
    other = make()
    weights = other.generator.parameters.data.copy()
    fields = "; ".join(f"gan.{one}" for one in told)
    with pytest.raises(mg.CheckpointError) as caught:
        mg.Trainer.resume(tmp_path, gan=other)
    who, _, found = str(caught.value).partition(": ")
    assert who.startswith(f"{tmp_path} was trained with another GAN")
    assert found == fields
    assert {file: file.read_bytes() for file in tmp_path.glob("[!.]*")} == before
    assert other.step_count == 0
    np.testing.assert_array_equal(other.generator.parameters.data, weights)


def test_an_optimizer_of_another_class(tmp_path):
    """Each of its settings is told."""
    begin(tmp_path)
    with pytest.raises(mg.CheckpointError) as caught:
        mg.Trainer.resume(tmp_path, gan=game(optimizer=mg.Adam))
    fields = str(caught.value).partition(": ")[2].split("; ")
    assert f"gan.discriminator_optimizer.optimizer is {ADAM}" in fields
    assert "gan.discriminator_optimizer.momentum is missing, was 0.0" in fields
    assert all(field.startswith("gan.discriminator_optimizer.") for field in fields)


def test_a_class_of_ones_own_is_the_same_game_if_it_was(tmp_path):
    with registered_only_here():
        mg.register(Mine)
        mg.Trainer(game(Mine), mg.Gaussian(), tmp_path, batch=8, progress=False).fit(steps=5)
        assert type(mg.Trainer.resume(tmp_path, gan=game(Mine)).gan) is Mine
    with pytest.raises(mg.CheckpointError, match="there is no game called 'Mine'"):
        mg.Trainer.resume(tmp_path)
    assert mg.Trainer.resume(tmp_path, gan=game(Mine)).gan.step_count == 5


@pytest.mark.parametrize("what", [7, "gan", mg.Sequential(mg.Linear(1, 1))], ids=type)
def test_what_is_no_game(what, tmp_path):
    start(tmp_path)
    with pytest.raises(mg.MiniganError, match="GAN"):
        mg.Trainer.resume(tmp_path, gan=what)


def test_a_recipe_changed_by_hand_is_told_whatever_the_game(tmp_path):
    begin(tmp_path).fit(steps=5)
    file = tmp_path / "recipe.json"
    file.write_text(file.read_text().replace('"average": 0.9', '"average": 0.5'))
    for gan in (game(), game(average=0.5)):
        with pytest.raises(mg.CheckpointError, match=r"recipe\.json is not what it was when the"):
            mg.Trainer.resume(tmp_path, gan=gan)


# -- with labels, with codes, with three networks -------------------------------------------------

GAMES: dict[str, Callable[[], mg.GAN]] = {
    "conditional": lambda: conditional("embed", average=0.9, d_steps=2, fresh_real=True),
    "InfoGAN": lambda: info(True, average=0.9),
    "consistency": lambda: moving(True, d_steps=2),
}


def begin_labelled(name: str, out: Path) -> mg.Trainer:
    """On 50 samples, so that epochs end inside steps."""
    return mg.Trainer(
        GAMES[name](), labelled(seed=4), out, batch=8, print_every=10, checkpoint_every=5,
        progress=False,
    )  # fmt: skip


@pytest.mark.parametrize("stop", [10, 23])
@pytest.mark.parametrize("name", GAMES)
def test_labels_codes_and_a_third_network_go_on_to_the_same_bytes(name, stop, tmp_path):
    begin_labelled(name, tmp_path / "whole").fit(steps=40)
    begin_labelled(name, tmp_path / "cut").fit(steps=stop)
    data, file = labelled(seed=4), "checkpoint.safetensors"
    mg.Trainer.resume(tmp_path / "cut", data=data, progress=False).fit(steps=40)
    if stop == 10:  # else there is a row of it
        assert same_files(tmp_path / "cut", tmp_path / "whole")
    assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_the_recogniser_s_rate_is_a_column_and_may_be_changed(tmp_path, capsys):
    begin_labelled("InfoGAN", tmp_path).fit(steps=10)
    changes, data = {"recogniser_lr": 0.125}, labelled(seed=4)
    trainer = mg.Trainer.resume(tmp_path, data=data, changes=changes, progress=False)
    trainer.fit(steps=20)
    rows = mg.read_history(tmp_path / "history.csv")
    assert [row["q_lr"] for row in rows] == [0.02, 0.125]
    assert [row["g_lr"] for row in rows] == [0.01, 0.01]
    assert {"information", "code_information"} < {*rows[0]}
    again = mg.load_run(tmp_path)
    assert again.gan.recogniser_optimizer.lr == 0.125
    np.testing.assert_array_equal(again.gan.sample(5, 0), trainer.gan.sample(5, 0))
    assert main(["show", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "Q has 77 parameters: Linear(5, 6, bias=False), BatchNorm(6), Tanh" in shown
    assert "Q learns by Adam: lr 0.125" in shown
    assert "information" in shown


@pytest.mark.parametrize("name", GAMES)
def test_a_profile_needs_no_data(name, tmp_path, capsys):
    """Labels are made up, too."""
    begin_labelled(name, tmp_path).fit(steps=1)
    assert main(["profile", str(tmp_path), "--steps", "2"]) == 0
    shown = capsys.readouterr().out
    titles = ["D's trunk", "D's head", "\nQ "] if name != "conditional" else ["D in its half"]
    assert all(title in shown for title in ["\nG ", *titles])
