"""The definition of a game as JSON: the arguments of its class, with the types of the parts."""

from __future__ import annotations

import inspect
from typing import Any

from minigan.backend import plain_seeds
from minigan.config import (
    CLASSES,
    Part,
    difference,
    read_back,
    rebuild,
    require_readable,
    require_registered,
)
from minigan.errors import ConfigError
from minigan.gan.average import MovingAverage
from minigan.nn import Optimizer


def settings_of(game: Any) -> dict[str, Any]:
    """The arguments of a `Game`'s class, from the attributes of the same names."""
    found: dict[str, Any] = {}
    for name in _arguments(type(game)):
        if not hasattr(game, name):
            raise ConfigError(
                f"{type(game).__name__} must keep its argument {name} as an attribute of that name"
            )
        value = getattr(game, name)
        if isinstance(value, Part):
            value = value.to_config()
        elif isinstance(value, MovingAverage):
            value = value.decay
        found[name] = value
    return found | {"seed": plain_seeds(game.seed)}


def _arguments(cls: type) -> list[str]:
    """The names of a class's arguments; `**settings` stands for those of its base class."""
    names: dict[str, None] = {}
    for owner in cls.__mro__:
        if "__init__" not in vars(owner):
            continue
        _, *parameters = inspect.signature(vars(owner)["__init__"]).parameters.values()
        for one in parameters:
            if one.kind is one.VAR_POSITIONAL:
                raise ConfigError(
                    f"{cls.__name__} must take its arguments by name, so it cannot have *{one.name}"
                )
        names |= {one.name: None for one in parameters if one.kind is not one.VAR_KEYWORD}
        if all(one.kind is not one.VAR_KEYWORD for one in parameters):
            break
    return list(names)


def arguments_of(settings: dict[str, Any], *context: Any) -> dict[str, Any]:
    """New arguments of what `settings_of` returned, with untrained networks on a device."""
    made = dict(settings)
    for name, value in made.items():
        if f"{name}_optimizer" in made:
            made[name] = rebuild("network", value, *context)
        elif isinstance(value, dict) and not name.endswith("_optimizer"):
            kinds = [kind for kind in CLASSES if isinstance(value.get(kind), str)]
            if len(kinds) == 1:
                made[name] = rebuild(kinds[0], value, *(context if kinds == ["network"] else ()))
    for name in [name for name in made if name.endswith("_optimizer")]:
        net = made[name.removesuffix("_optimizer")]
        made[name] = rebuild("optimizer", made[name], net.parameters)
    return made


def require_readable_parts(game: Any) -> None:
    """Raise `ConfigError` unless every part can be saved and read back as itself."""
    require_registered(game)
    for net in game.networks.values():
        for layer in net.layers:
            require_readable(layer)
        read_back(net, "cpu")
    for part in game.parts():
        require_readable(part)
    for optimizer in game.optimizers.values():
        require_readable(optimizer, optimizer.parameters)
        _require_state(optimizer)
    twin = read_back(game, "cpu")  # as a run folder is opened
    changed = difference(_plain_arguments(game), _plain_arguments(twin))
    if changed:
        raise ConfigError(
            f"{type(game).__name__} cannot be saved: a file would change its {changed}"
        )


def _plain_arguments(game: Any) -> dict[str, Any]:
    """The arguments that are not parts."""
    found = {name: getattr(game, name) for name in _arguments(type(game))}
    return {name: value for name, value in found.items() if not isinstance(value, Part)}


def _require_state(optimizer: Optimizer) -> None:
    """Raise `ConfigError` if an optimizer has an array like the parameters outside its buffers."""
    kept = [id(flat) for flat in optimizer.buffers().values()]
    for name, value in vars(optimizer).items():
        like = getattr(value, "shape", None) == optimizer.parameters.data.shape
        if like and name != "clock" and id(value) not in kept:
            raise ConfigError(
                f"{type(optimizer).__name__} keeps the array {name}, which is not among its "
                "buffers(): a resumed run would lose it"
            )
