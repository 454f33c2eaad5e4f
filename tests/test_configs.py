"""What is written as JSON comes back as what it was: every setting of every part.

A setting that is lost, or written in the place of another, shows only if it is unlike its default
and unlike the others. So every example here is, and `unlike` holds it to that.
"""

from __future__ import annotations

import inspect
import json
from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan.data import data_from_config
from minigan.gan.noise import Noise, noise_from_config
from minigan.gan.objectives import GAMES, objective_from_config
from minigan.gan.objectives import LOSSES as GAN_LOSSES
from minigan.nn.init import SCHEMES
from minigan.nn.layers import LAYERS, layer_from_config
from minigan.nn.optim import Optimizer, optimizer_from_config
from minigan.training.run import CHANGEABLE


def unlike(thing: Any, *but_not: str) -> dict[str, Any]:
    """The settings of an object, once each is unlike its default and unlike the others.

    Args:
        thing: has an attribute for each parameter of its class.
        but_not: parameters that are no settings.
    """
    parameters = inspect.signature(type(thing)).parameters
    settings = {name: getattr(thing, name) for name in parameters if name not in but_not}
    for name, value in settings.items():
        default = parameters[name].default
        assert type(value) is not type(default) or value != default, f"{name} is {value!r}"
    told = [repr(value) for value in settings.values() if not isinstance(value, bool)]
    assert len(set(told)) == len(told), f"two settings are the same: {settings}"
    return settings


def through_json(config: dict[str, Any]) -> dict[str, Any]:
    """A config as a file gives it back."""
    return json.loads(json.dumps(config, allow_nan=False))


# -- layers and networks ----------------------------------------------------------------

LAYER_EXAMPLES = [
    mg.Linear(4, 3, bias=False, init="xavier_normal"),
    mg.ReLU(),
    mg.LeakyReLU(0.3),
    mg.ELU(1.7),
    mg.Sigmoid(),
    mg.Tanh(),
    mg.Dropout(0.4),
    mg.Pack(3, deviations=False),
]


def test_every_layer_is_among_the_examples():
    assert {type(layer).__name__ for layer in LAYER_EXAMPLES} == set(LAYERS)


@pytest.mark.parametrize("layer", LAYER_EXAMPLES, ids=repr)
def test_a_layer(layer):
    unlike(layer)
    twin = layer_from_config(through_json(layer.to_config()))
    assert twin == layer
    assert type(twin) is type(layer)


@pytest.mark.parametrize("init", SCHEMES)
def test_every_scheme_of_a_linear(init):
    layer = mg.Linear(4, 3, init=init)
    assert layer_from_config(through_json(layer.to_config())).init == init


@pytest.mark.parametrize("layers", [(mg.Tanh(), mg.Dropout(0.4)), (mg.Pack(2), mg.ELU(1.7))])
def test_a_network_without_a_linear(layers):
    """Only `in_features` gives its number of features."""
    net = mg.Sequential(*layers, seed=7, dtype="float64", name="other", in_features=5)
    settings = unlike(net, "device")
    twin = mg.Sequential.from_config(through_json(net.to_config()))
    assert {name: getattr(twin, name) for name in settings} == settings
    X = np.random.default_rng(0).normal(size=(4, 5))
    np.testing.assert_array_equal(twin.forward(X), net.forward(X))  # the same masks, too


def test_a_population_of_networks():
    net = mg.Sequential(mg.Linear(3, 2), seed=[7, 2, 7], dtype="float64", name="other")
    twin = mg.Sequential.from_config(through_json(net.to_config()))
    assert (twin.seed, twin.population, twin.name) == ([7, 2, 7], (3,), "other")
    np.testing.assert_array_equal(twin.parameters.data, net.parameters.data)


# -- optimizers -------------------------------------------------------------------------


def optimizers(parameters: mg.Parameters) -> list[Optimizer]:
    """Both kinds, all settings unlike."""
    decay = mg.LinearDecay(end=90, start=30, final=0.25)
    unlike(decay)
    return [
        mg.SGD(parameters, 0.3, momentum=0.6, decay=decay),
        mg.Adam(parameters, 0.02, (0.5, 0.95), eps=1e-4, decay=decay, weight_decay=0.07),
    ]


@pytest.mark.parametrize("k", range(2), ids=["SGD", "Adam"])
def test_an_optimizer(k):
    parameters = mg.Sequential(mg.Linear(3, 2)).parameters
    optimizer = optimizers(parameters)[k]
    settings = unlike(optimizer, "parameters")
    twin = optimizer_from_config(through_json(optimizer.to_config()), parameters)
    assert type(twin) is type(optimizer)
    assert {name: getattr(twin, name) for name in settings} == settings
    bare = type(optimizer)(parameters, 0.3)
    assert optimizer_from_config(through_json(bare.to_config()), parameters).decay is None


# -- the parts of a GAN -----------------------------------------------------------------

NOISES = [mg.Uniform(-2.0, 3.0, dim=4), mg.Normal(0.5, 2.0, dim=3)]


@pytest.mark.parametrize("noise", NOISES, ids=repr)
def test_a_noise(noise):
    unlike(noise)
    twin = noise_from_config(through_json(noise.to_config()))
    assert twin == noise
    assert type(twin) is type(noise)


def test_every_noise_is_among_the_examples():
    assert {type(noise) for noise in NOISES} == set(Noise.__subclasses__())


def test_an_objective():
    objective = mg.Objective("minimax", "mean_squared_error", 0.9, 0.1, 0.8)
    unlike(objective)
    assert objective_from_config(through_json(objective.to_config())) == objective
    for game in GAMES:
        for loss in GAN_LOSSES:
            one = mg.Objective(game, loss)
            assert objective_from_config(through_json(one.to_config())) == one


def whole_gan(**options: Any) -> mg.GAN:
    """A GAN whose every setting is unlike its default and unlike the others."""
    G = mg.Sequential(mg.Linear(3, 2), mg.Dropout(0.3), seed=3, dtype="float64", name="maker")
    D = mg.Sequential(mg.Pack(2), mg.Linear(8, 1), seed=5, dtype="float64", name="critic")
    g_optimizer, d_optimizer = optimizers(G.parameters)[1], optimizers(D.parameters)[0]
    settings = {
        "objective": mg.Objective("minimax", "mean_squared_error", 0.9, 0.1, 0.8),
        "average": 0.75,
        "same_noise": True,
        "d_steps": 2,
        "g_steps": 3,
        "seed": 11,
    }
    settings |= options
    return mg.GAN(
        G, D, mg.Normal(0.5, 2.0, dim=3), generator_optimizer=g_optimizer,
        discriminator_optimizer=d_optimizer, **settings,
    )  # fmt: skip


def described(gan: mg.GAN) -> dict[str, Any]:
    """All that a GAN is, by attributes and not by its config."""
    result: dict[str, Any] = {}
    for role in ("generator", "discriminator"):
        net, optimizer = getattr(gan, role), getattr(gan, f"{role}_optimizer")
        result[role] = (net.layers, net.seed, net.dtype, net.name, net.in_features)
        result[f"{role}_optimizer"] = (type(optimizer), optimizer.lr, optimizer.decay)
        result[f"{role}_settings"] = optimizer.settings()
    for name in ("noise", "objective", "same_noise", "d_steps", "g_steps", "seed"):
        result[name] = getattr(gan, name)
    return result | {"average": None if gan.average is None else gan.average.decay}


def test_a_gan():
    gan = whole_gan()
    unlike(gan)
    twin = mg.GAN.from_config(through_json(gan.to_config()))
    assert described(twin) == described(gan)
    real = np.random.default_rng(0).normal(size=(4, 2))
    for one in (gan, twin):
        for _ in range(3):
            one.step(real)
    for name, array in gan.state()[0].items():
        np.testing.assert_array_equal(array, twin.state()[0][name])


@pytest.mark.parametrize(
    "options",
    [{"average": None}, {"same_noise": False}, {"d_steps": 1}, {"g_steps": 1}, {"seed": 0}],
    ids=str,
)
def test_a_gan_but_for_one_default(options):
    gan = whole_gan(**options)
    assert described(mg.GAN.from_config(through_json(gan.to_config()))) == described(gan)


# -- NumPy numbers --------------------------------------------------------------------


def as_numpy(value: Any) -> Any:
    """A setting as it comes out of an array."""
    if isinstance(value, bool):
        return np.bool_(value)
    if isinstance(value, int):
        return np.int64(value)
    if isinstance(value, float):
        return np.float64(value)
    return tuple(as_numpy(one) for one in value) if isinstance(value, tuple) else value


def of_numpy(thing: Any, *args: Any, but_not: tuple[str, ...] = ()) -> Any:
    """The same thing, made of NumPy numbers."""
    parameters = [name for name in inspect.signature(type(thing)).parameters if name not in but_not]
    return type(thing)(*args, **{name: as_numpy(getattr(thing, name)) for name in parameters})


@pytest.mark.parametrize(
    "thing",
    [*LAYER_EXAMPLES, *NOISES, mg.Objective("minimax", "mean_squared_error", 0.9, 0.1, 0.8)],
    ids=repr,
)
def test_definitions_made_of_numpy_numbers_hold_plain_ones(thing):
    twin = of_numpy(thing)
    assert twin == thing
    assert through_json(twin.to_config()) == through_json(thing.to_config())
    for name in vars(thing):
        assert type(getattr(twin, name)) is type(getattr(thing, name)), name


def test_optimizers_data_and_gans_made_of_numpy_numbers():
    parameters = mg.Sequential(mg.Linear(3, 2)).parameters
    for optimizer in optimizers(parameters):
        optimizer.decay = of_numpy(optimizer.decay)
        twin = of_numpy(optimizer, parameters, but_not=("parameters",))
        assert through_json(twin.to_config()) == through_json(optimizer.to_config())
        assert type(twin.lr) is float
    data = mg.Gaussian(np.float64(2.5), np.float64(0.5), seed=[np.int64(3), np.int64(1)])
    assert through_json(data.to_config()) == mg.Gaussian(2.5, 0.5, seed=[3, 1]).to_config()
    one = np.int64(1)
    gan = whole_gan(average=np.float64(0.75), d_steps=2 * one, g_steps=3 * one, seed=11 * one)
    assert through_json(gan.to_config()) == through_json(whole_gan().to_config())
    net = mg.Sequential(mg.Tanh(), seed=7 * one, in_features=5 * one)
    assert through_json(net.to_config())["in_features"] == 5


# -- data -------------------------------------------------------------------------------


def test_a_gaussian():
    data = mg.Gaussian(2.5, 0.5, seed=[3, 1])
    settings = unlike(data, "device")
    twin = data_from_config(through_json(data.to_config()))
    assert {name: getattr(twin, name) for name in settings} == settings


def test_samples_and_images_that_differ_have_different_descriptions():
    """They can't be rebuilt, but their descriptions differ wherever the data do."""
    X = np.arange(6.0).reshape(3, 2)
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    things = [
        mg.Samples(X, seed=1),
        mg.Samples(X, seed=2),
        mg.Samples(X, seed=1, dtype="float64"),
        mg.Samples(X[::-1], seed=1),
        mg.Samples(X[:2], seed=1),
        mg.Images(pixels, seed=1),
        mg.Images(pixels, seed=2),
        mg.Images(pixels, seed=1, dtype="float64"),
        mg.Images(pixels, seed=1, dataset="mine"),
        mg.Images(pixels[::-1], seed=1),
        mg.Images(pixels.reshape(3, 4, 1), seed=1),
    ]
    told = [json.dumps(through_json(thing.to_config())) for thing in things]
    assert len(set(told)) == len(things)
    config = things[8].to_config()
    assert config["data"] == "Images"
    assert (config["shape"], config["dtype"], config["seed"]) == ([3, 2, 2], "float32", 1)
    assert things[0].to_config()["data"] == "Samples"
    assert things[0].to_config()["shape"] == [3, 2]


# -- what is no config ------------------------------------------------------------------


def refusals(config: dict[str, Any], kind: str | None) -> list[Any]:
    """Configs that are almost one: of no kind, another one, with a setting more, or of nonsense."""
    found: list[Any] = [None, [], "x", 7, config | {"colour": 3}]
    if kind is not None:
        without = {key: value for key, value in config.items() if key != kind}
        found += [
            {},
            without,
            without | {kind: "Exec"},
            without | {kind: None},
            without | {kind: []},
        ]
    for key, value in config.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found += [config | {key: "x"}, config | {key: None}, config | {key: [value, "x"]}]
    return found


def parameters_of_one() -> mg.Parameters:
    return mg.Sequential(mg.Linear(3, 2)).parameters


READERS = {
    "layer": (mg.Linear(4, 3).to_config(), "layer", layer_from_config),
    "another layer": (mg.Dropout(0.5).to_config(), "layer", layer_from_config),
    "noise": (mg.Uniform(-2.0, 3.0, dim=4).to_config(), "noise", noise_from_config),
    "objective": (mg.Objective().to_config(), None, objective_from_config),
    "SGD": (
        optimizers(parameters_of_one())[0].to_config(),
        "optimizer",
        lambda config: optimizer_from_config(config, parameters_of_one()),
    ),
    "Adam": (
        optimizers(parameters_of_one())[1].to_config(),
        "optimizer",
        lambda config: optimizer_from_config(config, parameters_of_one()),
    ),
    "data": (mg.Gaussian().to_config(), "data", data_from_config),
}


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_config_is_refused(reader):
    config, kind, read = READERS[reader]
    read(config)
    for bad in refusals(config, kind):
        with pytest.raises(mg.ConfigError):
            raise AssertionError(f"{bad} is taken for {read(bad)}")  # unless `read` raises


def test_an_optimizer_needs_to_know_its_decay():
    config = optimizers(parameters_of_one())[0].to_config()
    for bad in ({"end": 3, "colour": 1}, {}, 3, {"end": "x"}):
        with pytest.raises(mg.ConfigError):
            optimizer_from_config(config | {"decay": bad}, parameters_of_one())
    with pytest.raises(mg.ConfigError):
        optimizer_from_config({k: config[k] for k in config if k != "decay"}, parameters_of_one())


@pytest.mark.parametrize("part", whole_gan().to_config())
def test_a_gan_without_one_of_its_parts_is_refused_unless_it_has_a_default(part):
    config = whole_gan().to_config()
    without = {key: value for key, value in config.items() if key != part}
    if part in ("average", "same_noise", "d_steps", "g_steps", "seed"):
        mg.GAN.from_config(without)
        bad = config | {part: "x"}
    else:
        bad = without
        with pytest.raises(mg.ConfigError):
            mg.GAN.from_config(config | {part: None})
    if part != "same_noise":
        with pytest.raises(mg.ConfigError):
            mg.GAN.from_config(bad)


# -- a run ------------------------------------------------------------------------------

RUN = {"batch": 4, "print_every": 3, "checkpoint_every": 2, "unit": "epoch", "on_nan": "rollback"}


def test_a_run_is_resumed_as_what_it_was(tmp_path):
    gan, data = whole_gan(), mg.Samples(np.ones((10, 2)), seed=9, dtype="float64")
    recipe = {"name": "mine", "betas": [0.5, 0.9]}
    trainer = mg.Trainer(gan, data, tmp_path, recipe=recipe, progress=False, **RUN)
    twin = mg.Trainer.resume(tmp_path, data=data, progress=False)
    assert described(twin.gan) == described(gan)
    assert {name: getattr(twin, name) for name in RUN} == RUN
    assert twin.recipe == recipe
    assert twin.description() == trainer.description()
    description = mg.read_recipe(tmp_path)
    assert description["trainer"] == RUN
    assert description["minigan"] == mg.__version__
    assert mg.load_run(tmp_path).recipe == recipe
    assert mg.load_run(tmp_path).data == data.to_config()


@pytest.mark.parametrize("name", CHANGEABLE)
def test_what_may_change_in_a_run(name, tmp_path):
    data = mg.Samples(np.ones((10, 2)), seed=9, dtype="float64")
    mg.Trainer(whole_gan(), data, tmp_path, progress=False, **RUN)
    changes = {"print_every": 5, "checkpoint_every": 7, "on_nan": "stop"}
    trainer = mg.Trainer.resume(tmp_path, data=data, changes={name: changes[name]}, progress=False)
    trainer.fit(steps=0)
    assert mg.read_recipe(tmp_path)["trainer"] == RUN | {name: changes[name]}
    again = mg.Trainer.resume(tmp_path, data=data, progress=False)
    assert {field: getattr(again, field) for field in RUN} == RUN | {name: changes[name]}
