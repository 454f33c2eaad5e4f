"""Every default of the public surface, in one table; and that definitions cannot be changed."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from typing import Any

import pytest

import minigan as mg

#: Whoever changes a line here changes what users get who did not ask for anything.
DEFAULTS: dict[str, dict[str, Any]] = {
    "ELU": {"alpha": 1.0},
    "GAN": {
        "objective": None,
        "generator_optimizer": None,
        "discriminator_optimizer": None,
        "average": None,
        "same_noise": False,
        "d_steps": 1,
        "g_steps": 1,
        "seed": None,
    },
    "GAN.step": {"real": None},
    "GAN.capture": {"on": True},
    "GAN.sample": {"seed": None},
    "GAN.draw_noise": {"seed": None},
    "GAN.from_config": {"device": "cpu"},
    "SGD": {"momentum": 0.0, "decay": None},
    "Adam": {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-08, "decay": None, "weight_decay": 0.0},
    "DownloadError": {"offline": False},
    "Dropout": {"rate": 0.5},
    "Gaussian": {"mean": 4.0, "std": 1.25, "seed": 0, "device": "cpu"},
    "GradcheckReport": {"kinks_avoided": 0},
    "ImageSet": {"note": ""},
    "Images": {"seed": 0, "device": "cpu", "dtype": "float32", "dataset": "images"},
    "LeakyReLU": {"slope": 0.01},
    "Linear": {"bias": True, "init": "pytorch"},
    "LinearDecay": {"start": 0, "final": 0.0},
    "Normal": {"mean": 0.0, "std": 1.0, "dim": 1},
    "Objective": {
        "game": "non_saturating",
        "loss": "bce_with_logits",
        "real_target": 1.0,
        "fake_target": 0.0,
        "generator_target": 1.0,
    },
    "Pack": {"deviations": True},
    "Parameters": {"population": ()},
    "Samples": {"seed": 0, "device": "cpu", "dtype": "float32"},
    "Sequential": {
        "seed": 0,
        "device": "cpu",
        "dtype": "float32",
        "name": "net",
        "in_features": None,
    },
    "Sequential.bind": {"out": None},
    "Sequential.forward": {"train": True},
    "Sequential.backward": {"parameter_grads": True, "input_grad": True},
    "Sequential.from_config": {"device": "cpu"},
    "Sequential.accept": {"name": "X"},
    "Stream": {"position": 0},
    "Trainer": {
        "print_every": 1000,
        "checkpoint_every": None,
        "unit": "step",
        "recipe": None,
        "on_nan": "stop",
        "score": None,
        "progress": True,
    },
    "Trainer.fit": {
        "steps": None,
        "epochs": None,
        "after_row": None,
        "threads": None,
        "capture": True,
    },
    "Trainer.save": {"scored": False},
    "Trainer.resume": {
        "data": None,
        "device": "cpu",
        "changes": None,
        "score": None,
        "progress": True,
    },
    "Uniform": {"low": 0.0, "high": 1.0, "dim": 1},
    "gradcheck": {"train": True, "directions": 8, "tolerance": 1e-06, "seed": 0},
    "gradcheck_function": {"directions": 8, "tolerance": 1e-06, "seed": 0},
    "load_images": {"data_dir": None, "cache": None, "progress": True, "download": True},
    "load_run": {"device": "cpu", "best": False, "previous": False},
    "read_history": {"columns": None},
    "Backend.matmul": {"transpose_A": False, "transpose_B": False},
    "LayerPass.backward": {"parameter_grads": True, "input_grad": True},
    "Pass": {"out": None},
    "Pass.forward": {"train": True},
    "Pass.backward": {"parameter_grads": True, "input_grad": True},
    "data_from_config": {"device": "cpu"},
    "discriminator_response": {"real_target": 1.0, "fake_target": 0.0, "loss": "bce_with_logits"},
    "load_classifier": {"cache": None, "recipe": None, "progress": True},
}
WINGS = ("backend", "nn", "gan", "data", "evaluation", "training")


def surface() -> dict[str, Any]:
    """What the package and its wings offer by name, and the public methods of classes."""
    found: dict[str, Any] = {}
    for module in [mg, *(importlib.import_module(f"minigan.{wing}") for wing in WINGS)]:
        for name in module.__all__:
            thing = getattr(module, name)
            found[name] = thing
            if not inspect.isclass(thing) or issubclass(thing, Exception):
                continue
            for key, method in vars(thing).items():
                function = getattr(method, "__func__", method)
                if inspect.isfunction(function) and not key.startswith("_"):
                    found[f"{name}.{key}"] = function
    return {name: thing for name, thing in found.items() if has_signature(thing)}


def has_signature(thing: Any) -> bool:
    if inspect.isclass(thing):
        return vars(thing).get("__init__") is not None and not getattr(thing, "_is_protocol", False)
    return inspect.isfunction(thing)


def defaults_of(thing: Any) -> dict[str, Any]:
    parameters = inspect.signature(thing).parameters.items()
    return {k: p.default for k, p in parameters if p.default is not inspect.Parameter.empty}


def test_the_defaults_are_those_of_the_table():
    found = {name: defaults_of(thing) for name, thing in surface().items()}
    assert {name: values for name, values in found.items() if values} == DEFAULTS


def test_a_definition_cannot_be_changed():
    """Layers, recipes, descriptions: whoever holds one holds what it was made as."""
    seen = []
    for module in pkgutil.walk_packages(mg.__path__, "minigan."):
        if module.name.split(".")[1] not in WINGS or "cupy" in module.name:
            continue
        for thing in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(thing) and dataclasses.is_dataclass(thing) and thing not in seen:
                seen.append(thing)
                assert thing.__dataclass_params__.frozen, thing
    assert {mg.Linear, mg.Objective, mg.LinearDecay, mg.Run} <= set(seen)
    with pytest.raises(dataclasses.FrozenInstanceError):
        mg.Dropout().rate = 0.1
