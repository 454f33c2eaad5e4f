"""What is written as JSON comes back as what it was: every setting of every part.

A setting that is lost, or written in the place of another, shows only if it is unlike its default
and unlike the others. So every example here is, and `unlike` holds it to that.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from harness import registered_only_here

import minigan as mg
from minigan.config import CLASSES, Part, rebuild, register, require_readable
from minigan.nn.init import SCHEMES
from minigan.training.recipe_json import CHANGEABLE


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


# -- the registry -----------------------------------------------------------------------

DEFINITIONS = [
    mg.Linear(4, 3, bias=False, init="xavier_normal"),
    mg.ReLU(),
    mg.LeakyReLU(0.3),
    mg.ELU(1.7),
    mg.Sigmoid(),
    mg.Tanh(),
    mg.Dropout(0.4),
    mg.Pack(3, deviations=False),
    mg.Conv2d(3, 7, (2, 5), (1, 4), (0, 6), (8, 9), bias=False, init="normal"),
    mg.ConvTranspose2d(
        *(3, 7, (2, 5), (2, 4), (0, 1), (8, 9)), bias=False, init="normal", output_padding=(1, 3)
    ),
    mg.BatchNorm(3, eps=0.5, momentum=0.25),
    mg.LayerNorm(3, eps=0.5),
    mg.Upsample2d(3, (2, 4), (5, 6)),
    mg.AppendCondition(3, 5),
    mg.AppendChannels(3, 5, (2, 4)),
    mg.Embedding(3, 5, 2, init="normal"),
    mg.Projection(3, 5, init="xavier_normal"),
    mg.Uniform(-2.0, 3.0, dim=4),
    mg.Stratified(-2.0, 3.0, dim=4),
    mg.Normal(0.5, 2.0, dim=3),
    mg.NonSaturating(0.9, 0.1, 0.8, probabilities=True),
    mg.Minimax(0.9, 0.1, probabilities=True),
    mg.LeastSquares(0.9, 0.1, 0.8),
    mg.Wasserstein(),
    mg.Hinge(),
    mg.Drift(0.02),
    mg.GradientPenalty(7.0, one_sided=True),
    mg.R1(0.3, 40),
    mg.Clip(0.3),
    mg.Consistency(
        (3, 4), weight=0.7, temperature=0.8, zoom=0.2, shear=0.3, shift=1.5, background=0.1
    ),
]


def optimizers(parameters: mg.Parameters) -> list[mg.Optimizer]:
    """One of each class, all settings unlike."""
    decay = mg.LinearDecay(end=90, start=30, final=0.25)
    unlike(decay)
    return [
        mg.SGD(parameters, 0.3, momentum=0.6, decay=decay),
        mg.RMSprop(parameters, 0.05, alpha=0.8, eps=1e-3, decay=decay),
        mg.Adam(parameters, 0.02, (0.5, 0.95), eps=1e-4, decay=decay, weight_decay=0.07),
    ]


def network() -> mg.Sequential:
    return mg.Sequential(
        mg.Tanh(), mg.Dropout(0.4), seed=7, dtype="float64", name="other", in_features=5
    )


#: Of a game, each unlike its default and unlike the others.
SETTINGS: dict[str, Any] = {
    "penalty": mg.Drift(0.02),
    "constraint": mg.Clip(0.3),
    "average": 0.75,
    "same_noise": True,
    "d_steps": 2,
    "g_steps": 3,
    "fresh_real": True,
    "seed": 11,
}


def arguments_of(gan: mg.GAN) -> dict[str, Any]:
    """The arguments that the class itself names."""
    taken = inspect.signature(type(gan)).parameters.values()
    return {one.name: one for one in taken if one.kind is not one.VAR_KEYWORD}


def whole_gan(**options: Any) -> mg.GAN:
    """A GAN whose every setting is unlike its default and unlike the others."""
    G = mg.Sequential(mg.Linear(3, 2), mg.Dropout(0.3), seed=3, dtype="float64", name="maker")
    D = mg.Sequential(mg.Pack(2), mg.Linear(8, 1), seed=5, dtype="float64", name="critic")
    g_optimizer, d_optimizer = optimizers(G.parameters)[-1], optimizers(D.parameters)[0]
    settings = {"loss": mg.LeastSquares(0.9, 0.1, 0.8), **SETTINGS} | options
    return mg.GAN(
        G, D, mg.Normal(0.5, 2.0, dim=3), generator_optimizer=g_optimizer,
        discriminator_optimizer=d_optimizer, **settings,
    )  # fmt: skip


def whole_conditional() -> mg.ConditionalGAN:
    """A conditional GAN whose every setting is unlike its default and unlike the others."""
    G = mg.Sequential(mg.AppendCondition(3, 4), mg.Linear(7, 2), seed=3, name="maker")
    D = mg.Sequential(mg.Linear(2, 6), mg.Projection(6, 4), seed=5, name="critic")
    rules = optimizers(G.parameters)[-1], optimizers(D.parameters)[0]
    return mg.ConditionalGAN(
        *(G, D, mg.Normal(0.5, 2.0, dim=3), mg.LeastSquares(0.9, 0.1, 0.8), *rules),
        **{**SETTINGS, "penalty": mg.R1(0.02)},
    )


def whole_infogan() -> mg.InfoGAN:
    """An InfoGAN whose every setting is unlike its default and unlike the others."""
    G = mg.Sequential(mg.AppendCondition(3, 9), mg.Linear(12, 2), seed=3, name="maker")
    D = mg.Sequential(mg.Linear(2, 6), mg.Tanh(), mg.Linear(6, 5), mg.ELU(), mg.Linear(5, 1))
    Q = mg.Sequential(mg.Linear(6, 9), seed=8, name="guesser")
    nets = (G, D, Q)
    rules = [optimizers(net.parameters)[i] for i, net in zip((2, 0, 1), nets, strict=True)]
    more = {"categories": 4, "continuous": 5, "trunk": 2, "weight": 0.3, "std": 0.45}
    more["consistency"] = mg.Consistency((1, 2), weight=0.7)
    return mg.InfoGAN(
        *(*nets, mg.Normal(0.5, 2.0, dim=3), mg.LeastSquares(0.9, 0.1, 0.8), *rules),
        **{**SETTINGS, "d_steps": 7, "g_steps": 6, "seed": 12},
        **more,
    )


def described(gan: mg.GAN) -> dict[str, Any]:
    """All that a GAN is, by attributes and not by its config."""
    result: dict[str, Any] = {}
    for role in gan.networks:
        net, optimizer = getattr(gan, role), getattr(gan, f"{role}_optimizer")
        result[role] = (net.layers, net.seed, net.dtype, net.name, net.in_features)
        result[f"{role}_optimizer"] = (type(optimizer), optimizer.lr, optimizer.decay)
        result[f"{role}_settings"] = optimizer.settings()
    for name in {**inspect.signature(mg.GAN).parameters, **arguments_of(gan)}:
        result.setdefault(name, getattr(gan, name))
    return result | {"average": None if gan.average is None else gan.average.decay}


def parameters_of_one() -> mg.Parameters:
    return mg.Sequential(mg.Linear(3, 2)).parameters


#: Of the kinds that are not made of settings alone; each with what `rebuild` needs besides.
OTHERS: list[tuple[Part, tuple[Any, ...]]] = [
    (network(), ()),
    *((optimizer, (optimizer.parameters,)) for optimizer in optimizers(parameters_of_one())),
    (whole_gan(), ()),
    (whole_conditional(), ()),
    (whole_infogan(), ()),
    (mg.Gaussian(2.5, 0.5, seed=[3, 1]), ("cpu",)),
    (mg.Ring(3, 1.5, 0.1, seed=4), ("cpu",)),
    (mg.Grid(2, 0.5, 0.1, seed=4), ("cpu",)),
    (mg.Spiral(1.5, 3.0, 0.1, seed=4), ("cpu",)),
    (mg.Moons(2.0, 0.1, seed=4), ("cpu",)),
]
READABLE = [*((part, ()) for part in DEFINITIONS), *OTHERS]
#: Data that only their owner has.
UNREADABLE = [
    mg.Samples(np.arange(6.0).reshape(3, 2), seed=1),
    mg.Images(np.arange(12, dtype=np.uint8).reshape(3, 2, 2), seed=1),
    mg.Points(Path(__file__).with_name("points.csv"), seed=1),
]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_registered_class_is_among_the_examples(kind):
    """Only minigan's own layers: other tests register more."""
    own = {cls for cls in CLASSES[kind].values() if cls.__module__.startswith("minigan.")}
    examples = [*(part for part, _ in READABLE), *UNREADABLE]
    assert own == {type(part) for part in examples if part.kind == kind}
    assert own, "a kind of which there is no class"
    for cls in own:
        assert CLASSES[kind][cls.__name__] is cls


def name_of(value: Any) -> str | None:
    return f"{value.kind}: {type(value).__name__}" if isinstance(value, Part) else ""


@pytest.mark.parametrize(("part", "context"), READABLE, ids=name_of)
def test_every_part_is_read_back_as_itself(part, context):
    config = part.to_config()
    assert next(iter(config)) == part.kind
    assert config[part.kind] == type(part).__name__
    twin = rebuild(part.kind, through_json(config), *context)
    assert type(twin) is type(part)
    assert twin is not part
    assert through_json(twin.to_config()) == through_json(config)
    if isinstance(part, mg.GAN):
        unlike(part)
        assert described(twin) == described(part)
    else:
        settings = unlike(part, "parameters", "device")
        assert {name: getattr(twin, name) for name in settings} == settings
    if part in DEFINITIONS:
        assert twin == part


@pytest.mark.parametrize(("part", "context"), READABLE, ids=name_of)
def test_every_part_of_minigans_may_be_kept(part, context):
    require_readable(part, *context)


@pytest.mark.parametrize("data", UNREADABLE, ids=name_of)
def test_samples_are_not_read_back_from_their_description(data):
    with pytest.raises(mg.ConfigError, match=f"{type(data).__name__} cannot be rebuilt"):
        rebuild("data", through_json(data.to_config()), "cpu")


@pytest.fixture
def registry() -> Iterator[None]:
    """What a test registers is forgotten after it."""
    with registered_only_here():
        yield


@pytest.mark.usefixtures("registry")
def test_a_class_of_ones_own_is_registered_by_a_decorator():
    @dataclass(frozen=True)
    class Powers(mg.Noise):
        dim: int = 1
        exponent: float = 2.0

    with pytest.raises(mg.ConfigError, match="there is no noise called 'Powers' here"):
        rebuild("noise", Powers(3).to_config())
    assert register(Powers) is Powers
    assert mg.register is register
    assert Powers(3, 0.5).to_config() == {"noise": "Powers", "dim": 3, "exponent": 0.5}
    twin = rebuild("noise", through_json(Powers(3, 0.5).to_config()))
    assert (type(twin), twin) == (Powers, Powers(3, 0.5))
    require_readable(Powers(3, 0.5))


@pytest.mark.usefixtures("registry")
def test_a_class_of_no_kind_is_not_registered():
    class Kindless:
        pass

    class OfAnotherKind(Part):
        kind: ClassVar[str] = "spaceship"

    before = {kind: dict(classes) for kind, classes in CLASSES.items()}
    for cls in (Kindless, OfAnotherKind, Part):
        with pytest.raises(mg.ConfigError, match=r"one of the kinds layer, network, .*, data$"):
            register(cls)
    assert before == CLASSES


def definition_of(name: str, module: str, default: float) -> type[mg.Layer]:
    """A class as another file, or a cell of a notebook, defines it."""
    cls = dataclass(frozen=True)(
        type(name, (mg.Layer,), {"slope": default, "__annotations__": {"slope": float}})
    )
    cls.__module__ = module
    return cls


@pytest.mark.usefixtures("registry")
def test_a_second_class_of_the_same_name_is_refused():
    mine = register(definition_of("Swish", "mine", 1.0))
    with pytest.raises(mg.ConfigError, match="mine has a layer called Swish already; give yours"):
        register(definition_of("Swish", "theirs", 1.0))
    assert CLASSES["layer"]["Swish"] is mine
    with pytest.raises(mg.ConfigError, match="has a layer called Linear already"):
        register(definition_of("Linear", "mine", 1.0))
    assert CLASSES["layer"]["Linear"] is mg.Linear


@pytest.mark.usefixtures("registry")
def test_the_same_definition_may_be_run_again():
    """As a notebook does it. The class of the latest run counts."""
    first, second = (register(definition_of("Swish", "mine", value)) for value in (1.0, 2.0))
    assert first is not second
    assert type(rebuild("layer", first().to_config())) is second
    require_readable(second())
    with pytest.raises(mg.ConfigError, match="Swish was defined and registered again"):
        require_readable(first())  # of which no equal one can be made any more


@pytest.mark.usefixtures("registry")
def test_parts_of_two_kinds_may_share_a_name():
    @register
    @dataclass(frozen=True)
    class Linear(mg.Noise):
        dim: int = 1

    assert type(rebuild("noise", Linear(4).to_config())) is Linear
    assert type(rebuild("layer", mg.Linear(4, 3).to_config())) is mg.Linear


# -- what cannot be read back -----------------------------------------------------------


@dataclass(frozen=True)
class OfNobody(mg.Normal):
    """Registered nowhere."""


def of_the_same_name() -> type[mg.Normal]:
    """A class that says of itself that it is another one."""

    @dataclass(frozen=True)
    class Normal(mg.Normal):
        pass

    return Normal


@dataclass(frozen=True)
class OfBounds(mg.Noise):
    """A tuple comes back as a list."""

    bounds: tuple[float, float] = (0.0, 1.0)
    dim: int = 1


@dataclass(frozen=True)
class OfTable(mg.Noise):
    """The keys of a dictionary come back as text."""

    table: Any = None
    dim: int = 1


@dataclass(frozen=True)
class Forgetful(mg.Noise):
    """A setting is not written."""

    dim: int = 1
    spread: float = 1.0

    def settings(self) -> dict[str, Any]:
        return {"dim": self.dim}


@dataclass(frozen=True)
class Confused(mg.Noise):
    """A setting comes back as another one."""

    dim: int = 1
    spread: float = 1.0

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *context: Any) -> Any:
        return cls(settings["dim"], settings["spread"] + 1.0)


@dataclass(frozen=True)
class Impostor(mg.Noise):
    """It comes back as a part of another class."""

    dim: int = 1

    @classmethod
    def from_settings(cls, settings: dict[str, Any], *context: Any) -> Any:
        return mg.Normal(**settings)


class Wordless(mg.Noise):
    """It says no settings."""

    dim = 1


class Changing(mg.SGD):
    """No dataclass; its settings come back different."""

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "momentum": self.momentum + 0.25}


class Posing(mg.SGD):
    """It says that it is another class."""

    def to_config(self) -> dict[str, Any]:
        return {**super().to_config(), "optimizer": "SGD"}


NO_REGISTER = "is not registered, so a run that has it could not be opened again: put @minigan"
NOT_ITSELF = "is read back from a file as .*, so it cannot be kept"
NOT_JSON = "the settings of .* are not JSON"
REFUSED: dict[str, tuple[Any, str]] = {
    "registered nowhere": (lambda: OfNobody(), f"OfNobody {NO_REGISTER}"),
    "of the name of a registered one": (lambda: of_the_same_name()(), f"Normal {NO_REGISTER}"),
    "a tuple": (lambda: register(OfBounds)(), NOT_ITSELF),
    "a tuple in a list": (lambda: register(OfTable)([(1, 2)]), NOT_ITSELF),
    "keys that are numbers": (lambda: register(OfTable)({1: 2}), NOT_ITSELF),
    "an object": (lambda: register(OfTable)(object()), NOT_JSON),
    "a class": (lambda: register(OfTable)(int), NOT_JSON),
    "an array": (lambda: register(OfTable)(np.zeros(2)), NOT_JSON),
    "a set": (lambda: register(OfTable)({1}), NOT_JSON),
    "NaN": (lambda: register(OfTable)(float("nan")), NOT_JSON),
    "infinity": (lambda: register(OfTable)(float("inf")), NOT_JSON),
    "a setting that is not written": (lambda: register(Forgetful)(2, 3.0), NOT_ITSELF),
    "a setting that changes": (lambda: register(Confused)(), NOT_ITSELF),
    "another class": (lambda: register(Impostor)(), NOT_ITSELF),
    "no settings": (
        lambda: register(Wordless)(),
        r"Wordless must be a dataclass, or define settings\(\)",
    ),
    "an optimizer that says it is another": (
        lambda: register(Posing)(parameters_of_one(), 0.1),
        NOT_ITSELF,
    ),
    "an optimizer that changes": (
        lambda: register(Changing)(parameters_of_one(), 0.1),
        NOT_ITSELF,
    ),
}


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("case", REFUSED)
def test_what_would_not_come_back_as_itself_is_refused(case):
    make, told = REFUSED[case]
    part = make()
    context = (part.parameters,) if isinstance(part, mg.Optimizer) else ()
    with pytest.raises(mg.ConfigError, match=told) as caught:
        require_readable(part, *context)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.usefixtures("registry")
def test_what_comes_back_as_itself_is_not_refused():
    """The same classes, with settings that JSON keeps."""
    for part in (register(OfTable)({"a": [1, 2.5, None, True]}), register(Forgetful)(2)):
        require_readable(part)


# -- layers and networks ----------------------------------------------------------------


@pytest.mark.parametrize("init", SCHEMES)
def test_every_scheme_of_a_linear(init):
    layer = mg.Linear(4, 3, init=init)
    assert rebuild("layer", through_json(layer.to_config())).init == init


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


@pytest.mark.parametrize("made", [network, lambda: network().astype("float32")])
def test_a_network_says_its_class(made):
    config = made().to_config()
    assert (config["network"], config["layers"][1]) == (
        "Sequential",
        {"layer": "Dropout", "rate": 0.4},
    )


def test_only_networks_are_rebuilt_as_networks():
    net = network().to_config()
    for config in (net | {"network": "GAN"}, net | {"layers": 3}, net | {"layers": [{}]}, {}):
        with pytest.raises(mg.ConfigError):
            mg.Sequential.from_config(config)


# -- optimizers -------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [mg.SGD, mg.Adam])
def test_an_optimizer_without_a_decay(cls):
    parameters = parameters_of_one()
    twin = rebuild("optimizer", through_json(cls(parameters, 0.3).to_config()), parameters)
    assert (twin.lr, twin.decay) == (0.3, None)
    assert twin.parameters is parameters


# -- a GAN ------------------------------------------------------------------------------


def test_a_gan():
    gan = whole_gan()
    twin = mg.GAN.from_config(through_json(gan.to_config()))
    real = np.random.default_rng(0).normal(size=(8, 2))  # four for each of D's two updates
    for one in (gan, twin):
        for _ in range(3):
            one.step(real)
    for name, array in gan.state()[0].items():
        np.testing.assert_array_equal(array, twin.state()[0][name])


@pytest.mark.usefixtures("registry")
def test_a_game_of_ones_own_is_rebuilt_as_what_it_is():
    """Whichever class `from_config` is called on: the definition names its own."""

    @register
    class Mine(mg.GAN):
        pass

    gan = whole_gan()
    mine = Mine(gan.generator, gan.discriminator, gan.noise)
    assert mine.to_config()["game"] == "Mine"
    for reader in (mg.GAN, mg.Game, Mine):
        assert type(reader.from_config(through_json(mine.to_config()))) is Mine
        assert type(reader.from_config(through_json(gan.to_config()))) is mg.GAN


@pytest.mark.parametrize(
    "options",
    [
        *({"average": None}, {"same_noise": False}, {"d_steps": 1}, {"g_steps": 1}, {"seed": 0}),
        *({"penalty": None}, {"constraint": None}, {"fresh_real": False}),
        {"loss": mg.NonSaturating()},
    ],
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


@pytest.mark.parametrize("thing", DEFINITIONS, ids=repr)
def test_definitions_made_of_numpy_numbers_hold_plain_ones(thing):
    twin = of_numpy(thing)
    assert twin == thing
    assert through_json(twin.to_config()) == through_json(thing.to_config())
    for name in vars(thing):
        assert type(getattr(twin, name)) is type(getattr(thing, name)), name


def test_optimizers_data_and_gans_made_of_numpy_numbers():
    parameters = mg.Sequential(mg.Linear(3, 2)).parameters
    for optimizer in optimizers(parameters):
        vars(optimizer)["decay"] = of_numpy(optimizer.decay)
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


def refusals(config: dict[str, Any], kind: str) -> list[Any]:
    """Configs that are almost one: of no kind, another one, with a setting more, or of nonsense."""
    without = {key: value for key, value in config.items() if key != kind}
    found: list[Any] = [None, [], "x", 7, {}, without, config | {"colour": 3}]
    found += [without | {kind: name} for name in ("Exec", None, [], {}, "ReLU, Tanh")]
    for key, value in config.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found += [config | {key: "x"}, config | {key: [value, "x"]}]
            found += [] if key in OR_NONE else [config | {key: None}]
    return found


#: Settings that a definition may leave to others.
OR_NONE = ("in_features", "average", "seed", "samples")


@pytest.mark.parametrize(("part", "context"), READABLE, ids=name_of)
def test_what_is_no_config_is_refused(part, context):
    config = through_json(part.to_config())
    for bad in refusals(config, part.kind):
        with pytest.raises(mg.ConfigError) as caught:
            raise AssertionError(f"{bad} is taken for {rebuild(part.kind, bad, *context)}")
        assert type(caught.value) is mg.ConfigError  # unless `rebuild` raises


def test_a_part_of_a_kind_is_none_of_another():
    for kind in CLASSES:
        for part, context in READABLE:
            if kind != part.kind:
                with pytest.raises(mg.ConfigError, match=f"not the definition of an? {kind}"):
                    rebuild(kind, part.to_config(), *context)
    with pytest.raises(mg.ConfigError, match="not the definition of a spaceship"):
        rebuild("spaceship", {"spaceship": "Rocket"})


def test_an_optimizer_needs_to_know_its_decay():
    config = optimizers(parameters_of_one())[0].to_config()
    for bad in ({"end": 3, "colour": 1}, {}, 3, {"end": "x"}):
        with pytest.raises(mg.ConfigError):
            rebuild("optimizer", config | {"decay": bad}, parameters_of_one())


#: Parts of a GAN that have a default; a definition may lack them.
WITH_DEFAULT = [
    name
    for name, parameter in inspect.signature(mg.GAN).parameters.items()
    if parameter.default is not parameter.empty
]


def test_all_but_the_networks_and_the_noise_have_a_default():
    arguments = set(inspect.signature(mg.GAN).parameters)
    assert arguments - set(WITH_DEFAULT) == {"generator", "discriminator", "noise"}


@pytest.mark.parametrize("part", whole_gan().to_config())
def test_a_gan_without_one_of_its_parts_is_refused_unless_it_has_a_default(part):
    config = whole_gan().to_config()
    without = {key: value for key, value in config.items() if key != part}
    if part in WITH_DEFAULT:
        gan = mg.GAN.from_config(without)
        untouched = {key: value for key, value in gan.to_config().items() if key != part}
        assert untouched == without
        bad = config | {part: "x"}
    else:
        bad = without
        with pytest.raises(mg.ConfigError):
            mg.GAN.from_config(config | {part: None})
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
