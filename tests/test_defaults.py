"""Every default of the public surface, in one table; and that definitions cannot be changed."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import Any

import pytest

import minigan as mg
from minigan.experiment import images

#: A change here changes what users get when they set nothing.
DEFAULTS: dict[str, dict[str, Any]] = {
    "Backend.matmul": {"transpose_A": False, "transpose_B": False},
    "matmul": {"transpose_A": False, "transpose_B": False},
    "Stream": {"position": 0},
    "checked_array": {"kinds": "fiu", "ops": None},
    "number": {"at_least": None, "above": None, "at_most": None, "below": None},
    "cache_folder": {"cache": None},
    "fetch": {"cache": None, "progress": True, "download": True},
    "DataSource.find": {"folder": None, "device": "cpu"},
    "DataSource.stand_in": {"device": "cpu"},
    "Distribution": {"seed": 0, "device": "cpu"},
    "Gaussian": {"mean": 4.0, "std": 1.25, "seed": 0, "device": "cpu"},
    "Endless": {"seed": 0, "device": "cpu"},
    "Mixture": {"seed": 0, "device": "cpu"},
    "Ring": {"count": 8, "radius": 2.0, "std": 0.02, "seed": 0, "device": "cpu"},
    "Grid": {"side": 5, "spacing": 2.0, "std": 0.05, "seed": 0, "device": "cpu"},
    "Spiral": {"turns": 2.0, "radius": 2.0, "std": 0.05, "seed": 0, "device": "cpu"},
    "Moons": {"radius": 1.0, "std": 0.05, "seed": 0, "device": "cpu"},
    "Points": {"seed": 0, "unit": 1.0, "device": "cpu", "dtype": "float32"},
    "Points.find": {"folder": None, "device": "cpu"},
    "Points.stand_in": {"device": "cpu"},
    "read_idx": {"max_bytes": 67108864},
    "ImageSet": {"note": ""},
    "Images": {
        "seed": 0,
        "device": "cpu",
        "dtype": "float32",
        "dataset": "images",
        "labels": None,
    },
    "Images.of": {"seed": 0, "device": "cpu"},
    "Images.find": {"folder": None, "device": "cpu"},
    "Images.stand_in": {"device": "cpu"},
    "load_images": {"data_dir": None, "cache": None, "progress": True, "download": True},
    "Shuffled": {"labels": None},
    "Shuffled.next_batch": {"labels": None},
    "Samples": {"seed": 0, "device": "cpu", "dtype": "float32", "labels": None},
    "Samples.stand_in": {"device": "cpu"},
    "DownloadError": {"offline": False},
    "ClassifierRecipe": {
        "channels": (16, 32),
        "features": 128,
        "dropout": 0.5,
        "steps": 6000,
        "batch": 128,
        "lr": 0.002,
        "seed": 0,
    },
    "train_classifier": {"recipe": None, "progress": True},
    "load_classifier": {"cache": None, "recipe": None, "progress": True},
    "announce": {"note": ""},
    "score_classes": {
        "n": 10_000,
        "seed": 0,
        "recipe": None,
        "cache": None,
        "progress": True,
    },
    "score_codes": {"n": 10_000, "seed": 0},
    "grid": {"tile": 112},
    "sample_classes": {"codes": None},
    "Form.save_samples": {"columns": None},
    "NumberForm.save_samples": {"columns": None},
    "ImageForm.save_samples": {"columns": None},
    "VectorForm.save_samples": {"columns": None},
    "named_images": {"labelled": False},
    "evenly": {"most": 120},
    "save_film": {"fps": 8, "hold": 2.0},
    "new_figure": {"size": (10.0, 7.2)},
    "columns": {"left": 1},
    "wrapped": {"indent": 0},
    "coloured": {"out": None},
    "draw_samples": {"bins": 100},
    "Response": {"output": "probability", "targets": (1.0, 0.0)},
    "Push": {"condition": None},
    "looking": {"condition": None},
    "noise_grid": {"lines": 17, "along": 201},
    "discriminator_response": {"targets": (1.0, 0.0), "output": "logit"},
    "whole": {"most": None},
    "write_whole": {"keep": None},
    "make_folder": {"exist_ok": True},
    "require_regular": {"follow_links": True},
    "Game": {
        "loss": None,
        "generator_optimizer": None,
        "discriminator_optimizer": None,
        "penalty": None,
        "constraint": None,
        "average": None,
        "same_noise": False,
        "d_steps": 1,
        "g_steps": 1,
        "fresh_real": False,
        "seed": None,
    },
    "Game.step": {"real": None, "labels": None},
    "Game.capture": {"on": True},
    "Sampling.sample": {"seed": None, "labels": None, "codes": None},
    "Sampling.draw_noise": {"seed": None},
    "Sampling.draw_condition": {"seed": None, "labels": None, "codes": None},
    "ConditionalGAN.draw_condition": {"seed": None, "labels": None, "codes": None},
    "InfoGAN": {
        "loss": None,
        "generator_optimizer": None,
        "discriminator_optimizer": None,
        "recogniser_optimizer": None,
        "categories": 10,
        "continuous": 2,
        "trunk": None,
        "weight": 1.0,
        "std": 1.0,
        "consistency": None,
    },
    "Consistency": {
        "size": (28, 28),
        "weight": 1.0,
        "temperature": 0.5,
        "zoom": 0.15,
        "shear": 0.4,
        "shift": 2.0,
        "background": -1.0,
    },
    "InfoGAN.draw_condition": {"seed": None, "labels": None, "codes": None},
    "TwoHeads": {"out": None},
    "TwoHeads.forward": {"train": True},
    "TwoHeads.backward": {"parameter_grads": True, "input_grad": True},
    "Game.keep": {"columns": None},
    "Game.from_config": {"device": "cpu"},
    "Drift": {"epsilon": 0.001},
    "GradientPenalty": {"weight": 10.0, "one_sided": False},
    "R1": {"gamma": 1.0, "samples": None},
    "Clip": {"limit": 0.01},
    "Uniform": {"low": 0.0, "high": 1.0, "dim": 1},
    "Stratified": {"low": 0.0, "high": 1.0, "dim": 1},
    "Normal": {"mean": 0.0, "std": 1.0, "dim": 1},
    "NonSaturating": {
        "real_target": 1.0,
        "fake_target": 0.0,
        "generator_target": 1.0,
        "probabilities": False,
    },
    "Minimax": {"real_target": 1.0, "fake_target": 0.0, "probabilities": False},
    "LeastSquares": {"real_target": 1.0, "fake_target": 0.0, "generator_target": 1.0},
    "GradcheckReport": {"kinks_avoided": 0},
    "Differences.derivative": {"grad": None},
    "Differences.entries": {"grad": None},
    "gradcheck": {
        "train": True,
        "directions": 8,
        "tolerance": 1e-06,
        "seed": 0,
        "condition": None,
    },
    "gradcheck_function": {"directions": 8, "tolerance": 1e-06, "seed": 0},
    "compare": {"train": True, "tolerance": 1e-06, "condition": None},
    "compare_function": {"tolerance": 1e-06},
    "ActivationPass.backward": {"parameter_grads": True, "input_grad": True},
    "LeakyReLU": {"slope": 0.01},
    "ELU": {"alpha": 1.0},
    "LayerPass.backward": {"parameter_grads": True, "input_grad": True},
    "Dropout": {"rate": 0.5},
    "DropoutPass.backward": {"parameter_grads": True, "input_grad": True},
    "Linear": {"bias": True, "init": "pytorch"},
    "LinearPass.backward": {"parameter_grads": True, "input_grad": True},
    "Convolution": {
        "kernel": 4,
        "stride": 2,
        "padding": 1,
        "size": (28, 28),
        "bias": True,
        "init": "pytorch",
    },
    "Conv2d": {
        "kernel": 4,
        "stride": 2,
        "padding": 1,
        "size": (28, 28),
        "bias": True,
        "init": "pytorch",
    },
    "ConvTranspose2d": {
        "kernel": 4,
        "stride": 2,
        "padding": 1,
        "size": (28, 28),
        "bias": True,
        "init": "pytorch",
        "output_padding": 0,
    },
    "Conv2dPass.backward": {"parameter_grads": True, "input_grad": True},
    "ConvTranspose2dPass.backward": {"parameter_grads": True, "input_grad": True},
    "BatchNorm": {"eps": 1e-05, "momentum": 0.1},
    "BatchNormPass.backward": {"parameter_grads": True, "input_grad": True},
    "LayerNorm": {"eps": 1e-05},
    "LayerNormPass.backward": {"parameter_grads": True, "input_grad": True},
    "Upsample2d": {"factor": 2, "size": (28, 28)},
    "Upsample2dPass.backward": {"parameter_grads": True, "input_grad": True},
    "initialise_affine": {"fan_in": None, "fan_out": None},
    "Pack": {"deviations": True},
    "PackPass.backward": {"parameter_grads": True, "input_grad": True},
    "AppendChannels": {"size": (28, 28)},
    "AppendPass.backward": {"parameter_grads": True, "input_grad": True},
    "Embedding": {"init": "pytorch"},
    "EmbeddingPass.backward": {"parameter_grads": True, "input_grad": True},
    "Projection": {"init": "pytorch"},
    "ProjectionPass.backward": {"parameter_grads": True, "input_grad": True},
    "Pass": {
        "out": None,
        "own_gradients": False,
        "keep_buffers": False,
        "apart": False,
        "condition": None,
    },
    "Pass.forward": {"train": True},
    "Pass.backward": {"parameter_grads": True, "input_grad": True},
    "Sequential": {
        "seed": 0,
        "device": "cpu",
        "dtype": "float32",
        "name": "net",
        "in_features": None,
    },
    "Sequential.bind": {"out": None},
    "Sequential.forward": {"train": True, "condition": None},
    "Sequential.predict": {"condition": None},
    "Sequential.backward": {"parameter_grads": True, "input_grad": True},
    "Sequential.from_config": {"device": "cpu"},
    "Sequential.accept": {"name": "X"},
    "GAN.discriminator_step": {"repeat": 0},
    "LinearDecay": {"start": 0, "final": 0.0},
    "SGD": {"momentum": 0.0, "decay": None},
    "RMSprop": {"lr": 0.001, "alpha": 0.99, "eps": 1e-08, "decay": None},
    "Adam": {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-08, "decay": None, "weight_decay": 0.0},
    "scratch": {"slot": 0},
    "SecondOrder": {"condition": None},
    "NetworkDifferences": {"seed": 0, "R": None, "condition": None},
    "FlatBuffer": {"population": ()},
    "Optimizer": {"decay": None},
    "read_history": {"columns": None},
    "read_frames": {"most": None},
    "diagnose": {"loss": None},
    "require_call": {"name": "every"},
    "profile_step": {"steps": None},
    "load_run": {"device": "cpu", "best": False, "previous": False},
    "require_same": {"all_fields": True},
    "differences": {"name": ""},
    "change": {"others": ()},
    "Resumable.save": {"scored": False},
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
        "threads": None,
        "capture": True,
        "workers": 1,
    },
    "Trainer.step_of": {"steps": None, "epochs": None},
    "Trainer.resume": {
        "gan": None,
        "data": None,
        "device": "cpu",
        "changes": None,
        "score": None,
        "progress": True,
    },
    "call_named": {"kind": None},
    "guard": {"interrupted": None},
    "flag": {"name": "", "choices": None, "const": None},
    "Options": {"seed": 0, "device": "cpu", "data_dir": None, "dry_run": False, "resume": False},
    "Experiment": {
        "title": "",
        "data_dir": "",
        "settle": None,
        "watch": None,
        "finish": None,
        "folder": "",
        "files": (),
        "checkpoint_every": None,
    },
    "Experiment.recipe": {"name": None},
    "Experiment.main": {"argv": None},
    "Experiment.parse": {"argv": None},
    "sweep": {
        "settings": None,
        "seeds": (0,),
        "recipe": None,
        "jobs": None,
        "threads": 1,
        "device": "cpu",
        "data_dir": None,
        "progress": True,
    },
    "Outcome": {"failed": None, "said": ""},
    "epochs_flag": {"epochs": 30, "steps": 6000, "batches": "steps"},
    "ImageExperiment": {
        "title": "",
        "data_dir": images.DATA_DIR,
        "settle": images.settled,
        "watch": images.draw_grids,
        "finish": images.draw_last,
        "folder": "",
        "files": ("samples",),
        "checkpoint_every": None,
    },
}
TOP_LEVEL = (
    "checks",
    "config",
    "errors",
    "files",
    "fixed",
    "text",
    "backend",
    "nn",
    "gan",
    "data",
    "evaluation",
    "training",
    "experiment",
    "sweeps",
    "command_line",
)
#: What a GPU alone needs, and its tests look at.
CUDA = "minigan.backend.cuda."


def modules() -> list[ModuleType]:
    names = [module.name for module in pkgutil.walk_packages(mg.__path__, "minigan.")]
    return [
        importlib.import_module(name)
        for name in names
        if name.split(".")[1] in TOP_LEVEL and not f"{name}.".startswith(CUDA)
    ]


def surface() -> list[tuple[str, Any]]:
    """Functions and classes whose names begin without an underscore, and the methods of those."""
    found: list[tuple[str, Any]] = []
    for module in modules():
        for name, thing in vars(module).items():
            if name.startswith("_") or getattr(thing, "__module__", "") != module.__name__:
                continue
            if inspect.isfunction(thing):
                found.append((name, thing))
            elif inspect.isclass(thing):
                if "__init__" in vars(thing):
                    found.append((name, thing))
                for key, method in vars(thing).items():
                    function = getattr(method, "__func__", method)
                    if inspect.isfunction(function) and not key.startswith("_"):
                        found.append((f"{name}.{key}", function))
    return found


def defaults_of(thing: Any) -> dict[str, Any]:
    parameters = inspect.signature(thing).parameters.items()
    return {k: p.default for k, p in parameters if p.default is not inspect.Parameter.empty}


def table() -> dict[str, dict[str, Any]]:
    """Defaults by name; two functions of one name share a line."""
    result: dict[str, dict[str, Any]] = {}
    for name, thing in surface():
        if defaults_of(thing):
            result[name] = result.get(name, {}) | defaults_of(thing)
    return result


def test_the_defaults_are_those_of_the_table():
    assert table() == DEFAULTS


def test_flags_initialisations_names_and_devices_are_given_by_name():
    """Linear(784, 256, "kaiming_uniform") must not mean bias=True.

    A flag that is the only argument needs no name: gan.capture(False). Kernels take their arguments
    by position.
    """
    by_position = []
    for name, thing in surface():
        parameters = [p for p in inspect.signature(thing).parameters.values() if p.name != "self"]
        by_position += [
            f"{name}: {p.name}"
            for p in parameters
            if isinstance(p.default, bool)
            or (p.name in ("init", "name", "device", "dtype") and p.default is not p.empty)
            if p.kind is not p.KEYWORD_ONLY and len(parameters) > 1
        ]
    kernels = ("Backend.matmul", "matmul")
    assert [one for one in by_position if not one.startswith(kernels)] == []
    with pytest.raises(TypeError, match="positional"):
        mg.Linear(784, 256, "kaiming_uniform")


def test_a_definition_cannot_be_changed():
    """Layers, recipes and descriptions are frozen."""
    seen = []
    for module in modules():
        for thing in vars(module).values():
            if inspect.isclass(thing) and dataclasses.is_dataclass(thing) and thing not in seen:
                seen.append(thing)
                assert thing.__dataclass_params__.frozen, thing
    assert {mg.Linear, mg.NonSaturating, mg.LinearDecay, mg.Run} <= set(seen)
    with pytest.raises(dataclasses.FrozenInstanceError):
        mg.Dropout().rate = 0.1
