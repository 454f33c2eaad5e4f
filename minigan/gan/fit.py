"""Checks that the parts of a game fit each other, and the data."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.backend import INTEGERS, Array, as_seeds, checked_array
from minigan.errors import ConfigError, DataError, DTypeError, ShapeError
from minigan.gan.constraints import Constraint
from minigan.gan.losses import LOGIT, PROBABILITY, Loss
from minigan.gan.noise import Noise
from minigan.gan.penalties import Penalty
from minigan.nn import Optimizer, Sequential, Sigmoid
from minigan.nn.image import Image


def check_parts(game: Any) -> None:
    """Raise `ConfigError` unless every part of a `Game` has its type, and they fit each other."""
    G, D, title = game.generator, game.discriminator, type(game).__name__
    kinds = {"noise": Noise, "loss": Loss, "penalty": Penalty, "constraint": Constraint}
    parts: list[tuple[str, Any, type[Any]]] = [
        (name, getattr(game, name), kind) for name, kind in kinds.items()
    ]
    parts += [(f"{role}_optimizer", one, Optimizer) for role, one in game.optimizers.items()]
    for name, part, kind in parts:
        left_out = part is None and name in ("penalty", "constraint")
        if not left_out and not isinstance(part, kind):
            raise ConfigError(f"{title}: {name} must be a {kind.__name__}, not {part!r}")
    if G is D:
        raise ConfigError("generator and discriminator must be two networks")
    for role, net in game.networks.items():
        if net.dtype != G.dtype or net.population != G.population or net.ops is not G.ops:
            raise ConfigError(f"generator and {role} must share dtype, device and population size")
    if len(as_seeds(game.seed)) != (G.population[0] if G.population else 1):
        raise ConfigError(f"{title}: give one noise seed for each member of the population")
    if game.penalty is not None:
        both = sorted({*type(game).columns, *game.loss.columns} & {*game.penalty.columns})
        if both:
            raise ConfigError(f"{title}: the penalty has a loss called {both[0]}, as the game has")
    for role, optimizer in game.optimizers.items():
        if optimizer.parameters is not game.networks[role].parameters:
            raise ConfigError(f"{role}_optimizer was made for another network's parameters")


def check_plain(game: Any) -> None:
    """Raise `ConfigError` or `ShapeError` unless G turns the noise into samples of D's size."""
    G, D = game.generator, game.discriminator
    check_output(D, game.loss)
    if G.rows_multiple != 1:
        raise ConfigError("the generator must make one sample per row; Pack is for D")
    if G.in_features != game.noise.dim:
        raise ShapeError(
            f"the generator takes {G.in_features} features; the noise has {game.noise.dim}"
        )
    made, taken = G.output_image, D.image
    if G.out_features != D.in_features or (made and taken and made != taken):
        raise ShapeError(
            f"the generator makes {G.out_features} features{_of_image(made)}; "
            f"the discriminator takes {D.in_features} features{_of_image(taken)}"
        )
    if D.out_features != 1:
        raise ShapeError(f"the discriminator must end in 1 feature, not {D.out_features}")


def check_conditions(game: Any, **features: int) -> None:
    """Raise `ShapeError` unless each network, by role, reads a condition of that many features."""
    for role, given in features.items():
        reads = game.networks[role].condition_features
        if reads != given:
            one, other = (f"{n} features" if n else "no condition" for n in (given, reads))
            raise ShapeError(f"{type(game).__name__} gives the {role} {one}, and it reads {other}")


def one_hot(game: Any, labels: Any, n: int) -> Array:
    """Labels as rows (n, classes), 1 at the class and 0 elsewhere, on the game's device.

    Args:
        game: how many classes there are, and whether there is a population.
        labels: one integer for all, or n of them, (n,), or (S, n) for a population; None: the
            classes take turns.
        n: how many rows.

    Raises:
        DTypeError: labels are no integers.
        ConfigError: they are not n, or not among the classes.
    """
    K, shape = game.classes, (*game.population, n)
    given = checked_array("labels", np.arange(n) % K if labels is None else labels, INTEGERS)
    if given.shape not in ((), (n,), shape):
        raise ConfigError(f"labels must be one integer or {n}, not an array {given.shape}")
    wrong = given[(given < 0) | (given >= K)]
    if wrong.size:
        raise ConfigError(f"{wrong.flat[0]} is no label: there are {K} classes, 0 to {K - 1}")
    rows = np.broadcast_to(given, shape)[..., None] == np.arange(K)  # (n, classes)
    return game.ops.from_host(rows, game.generator.dtype)


def _of_image(image: Image | None) -> str:
    return "" if image is None else f", images of {image}"


def check_output(D: Sequential, loss: Loss) -> None:
    """Raise `ConfigError` unless D's output is what the loss expects: logits or probabilities."""
    sigmoid = isinstance(D.layers[-1], Sigmoid)
    name = type(loss).__name__
    if loss.output == PROBABILITY and not sigmoid:
        raise ConfigError(
            f"{name} takes probabilities here: end the discriminator in a Sigmoid, or use "
            "probabilities=False"
        )
    if loss.output == LOGIT and sigmoid:
        raise ConfigError(
            f"{name} takes logits here and applies the sigmoid itself: end the discriminator in a "
            "Linear, or use probabilities=True"
        )


def checked_inputs(game: Any, real: Any, labels: Any) -> dict[str, Array]:
    """What `Game.step` is given, by the names of `Game.inputs`, on the game's device.

    Raises:
        ShapeError, DataError, DTypeError: as `checked_real`.
        ConfigError: labels are missing or invalid, or the game takes none.
    """
    if not game.takes_labels:
        if labels is not None:
            raise ConfigError(f"a step of {type(game).__name__} takes no labels")
        return {"real": checked_real(game, real)}
    if real is None or labels is None:
        raise ConfigError(f"a step of {type(game).__name__} takes real samples and their labels")
    real = checked_real(game, real)
    return {"real": real, "labels": one_hot(game, labels, real.shape[-2])}


def checked_real(game: Any, real: Any) -> Array:
    """Real samples (rows, features) as an array on the game's device.

    Raises:
        ShapeError, DataError: of another shape than D takes, or not finite.
        DTypeError: not an array of floating-point numbers.
    """
    D, unit = game.discriminator, game.samples_of(1)
    # What is too large for the dtype becomes infinite, and is refused.
    real = game.ops.from_host(D.accept(real, name="the real data"), D.dtype)
    if not np.isfinite(game.ops.to_host(real)).all():
        raise DataError("the real samples hold NaN or infinity")
    if real.shape[-2] % unit:
        raise ShapeError(
            f"{unit} updates of D need a multiple of {unit} rows, not {real.shape[-2]}"
        )
    return real


def check_data(game: Any, data: Any) -> None:
    """Check that a game can train on the data.

    Raises:
        ConfigError, ShapeError, DTypeError: it cannot.
    """
    if not (hasattr(data, "size") and hasattr(data, "features")):
        raise ConfigError(f"{type(data).__name__} must have the attributes size and features")
    if game.population:
        raise ConfigError("Trainer keeps the run of one GAN; step a population by hand")
    D = game.discriminator
    if data.features != D.in_features:
        raise ShapeError(
            f"the data have {data.features} features; the discriminator takes {D.in_features}"
        )
    if getattr(data, "ops", D.ops) is not D.ops:
        raise ConfigError("the data and the networks are on two devices: give both one device=")
    if game.takes_labels and getattr(data, "classes", 0) != game.classes:
        raise ConfigError(
            f"the data have {getattr(data, 'classes', 0) or 'no'} classes of labels; "
            f"{type(game).__name__} needs {game.classes}"
        )
    dtype = getattr(data, "dtype", D.dtype)
    if dtype != D.dtype:
        raise DTypeError(f"the data are {dtype}, the networks {D.dtype}")
