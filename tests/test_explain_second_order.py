"""`minigan explain --second-order`: what it shows is what runs, and a fault is marked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_explain import rows

from minigan.backend import numpy as ops
from minigan.cli.main import main
from minigan.lessons import TOPICS
from minigan.nn.layers.condition import AppendPass
from minigan.nn.layers.dropout import DropoutPass
from minigan.nn.layers.linear import LinearPass
from minigan.nn.layers.pack import PackPass
from minigan.nn.layers.projection import ProjectionPass
from minigan.nn.layers.upsample import Upsample2dPass

MIXED = {"BatchNorm"}  # refused under a penalty
NAMES = [topic.name for topic in TOPICS if topic.group == "layers"]


def explain(*words: str) -> int:
    return main(["explain", "--second-order", *words])


@pytest.mark.parametrize("name", sorted({*NAMES} - MIXED))
def test_both_columns_agree_to_the_printed_digits(name, capsys):
    assert explain(name, "--seed", "3") == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{name}, second order\n===")
    columns = rows(text)
    assert {place.partition("[")[0] for place, *_ in columns} >= {"JU", "dX"}
    assert all(ours == theirs and not marked for _, ours, theirs, marked in columns)
    assert "\ntangent            " in text
    assert "def tangent(self, U: Array, out: Array)" in text
    assert "docs/second_order.md" in text
    assert max(map(len, text.partition("\n\nOur code")[0].splitlines())) <= 80


def doubled(original: Any) -> Any:
    def twice(*arguments: Any, out: Any, **options: Any) -> None:
        original(*arguments, out=out, **options)
        out *= 2.0

    return twice


def new_mask(self: Any, U: Any, out: Any) -> None:
    np.multiply(U, np.roll(self.mask, 1), out=out)


def of_the_input(self: Any, U: Any, dY: Any) -> None:
    np.matmul(self.X.T, dY, out=self.dweight)


def added_up(self: Any, U: Any, dY: Any) -> None:
    self.dweight += U.T @ dY


def nothing(self: Any, U: Any, dY: Any, out: Any) -> None:
    out.fill(0.0)


def of_one_row(self: Any, U: Any, dY: Any) -> None:
    np.matmul(U[:1].T, self._spread(dY)[:1], out=self.dweight)


def moving_condition(self: Any, U: Any, out: Any) -> None:
    np.concatenate([U, self.condition[:, 0]], axis=1, out=out)


FAULTS = [
    ("Linear", LinearPass, "tangent_gradients", of_the_input, "dweight"),
    ("Linear", LinearPass, "tangent_gradients", added_up, "dweight"),
    ("Linear", LinearPass, "tangent", lambda self, U, out: self.forward(U, True), "JU"),
    ("ELU", ops, "elu_curvature", doubled(ops.elu_curvature), "dX"),
    ("Sigmoid", ops, "sigmoid_curvature", doubled(ops.sigmoid_curvature), "dX"),
    ("Tanh", ops, "tanh_curvature", doubled(ops.tanh_curvature), "dX"),
    ("Dropout", DropoutPass, "tangent", new_mask, "JU"),
    ("Pack", PackPass, "curvature", nothing, "dX"),
    ("Conv2d", ops, "convolve_weight_gradient", doubled(ops.convolve_weight_gradient), "dweight"),
    ("Upsample2d", Upsample2dPass, "tangent", lambda self, U, out: out.fill(0.0), "JU"),
    ("AppendCondition", AppendPass, "tangent", moving_condition, "JU"),
    ("Projection", ProjectionPass, "tangent_gradients", of_one_row, "dweight"),
]


@pytest.mark.parametrize(("name", "owner", "what", "fault", "where"), FAULTS)
def test_a_wrong_second_order_is_marked(name, owner, what, fault, where, monkeypatch, capsys):
    monkeypatch.setattr(owner, what, fault)
    assert explain(name) == 1
    text = capsys.readouterr().out
    marked = {place.partition("[")[0] for place, *_, wrong in rows(text) if wrong}
    assert where in marked
    assert " DISAGREE; the largest difference is " in text


@pytest.mark.parametrize("name", sorted(MIXED))
def test_a_layer_that_mixes_samples_has_none(name, capsys):
    assert explain(name) == 1
    text = capsys.readouterr().out
    assert "No second order" in text
    assert "BatchNorm mixes the samples of a batch" in text
    assert "use LayerNorm instead." in " ".join(text.split())


def test_a_loss_has_none(tmp_path, capsys):
    assert explain("bce") == 2
    assert "--second-order is for layers, and bce is none" in capsys.readouterr().err
    assert explain(str(tmp_path)) == 2
    assert "--second-order is for a layer, or a file with layers" in capsys.readouterr().err


MINE = '''
from dataclasses import dataclass

import numpy as np

import minigan as mg


@dataclass(frozen=True)
class Cubed(mg.Layer):
    """Y = a X^3, with a learned number a for each feature."""

    features: int = 3

    def parameter_shapes(self):
        return {"a": (1, self.features)}

    def initialise(self, ops, stream, tensors):
        tensors["a"][...] = 0.7

    def bind(self, binding):
        return CubedPass(binding)


class CubedPass(mg.LayerPass):
    def __init__(self, binding):
        super().__init__(binding)
        self.a, self.da = binding.parameters["a"], binding.gradients["a"]

    def forward(self, X, train):
        "Y = a X^3"
        self.X = X
        self.Y[...] = self.a * X**3
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        "dX = 3 a X^2 dY"
        if parameter_grads:
            self.da[...] = (dY * self.X**3).sum(-2, keepdims=True)
        self.dX[...] = 3 * self.a * self.X**2 * dY
        return self.dX
'''
TANGENT = """
    def tangent(self, U, out):
        "out = 3 a X^2 U"
        out[...] = 3 * self.a * self.X**2 * U
"""
GRADIENTS = """
    def tangent_gradients(self, U, dY):
        self.da[...] = (3 * self.X**2 * U * dY).sum(-2, keepdims=True)
"""
CURVATURE = """
    def curvature(self, U, dY, out):
        out[...] = 6 * self.a * self.X * U * dY
"""
WHOLE = TANGENT + GRADIENTS + CURVATURE
OWN = {
    "right": (WHOLE, 0, "All 15 agree"),
    "no curvature": (TANGENT + GRADIENTS, 1, "12 of 15 DISAGREE"),
    "no gradients": (TANGENT + CURVATURE, 1, "3 of 15 DISAGREE"),
    "wrong tangent": (WHOLE.replace("out[...] = 3 *", "out[...] = 2 *"), 1, "12 of 12 DISAGREE"),
    "no tangent": (GRADIENTS, 1, "Cubed has no tangent(), so its input gradient cannot be"),
    "an error": (WHOLE + "        raise ValueError('no')\n", 2, "ValueError: no"),
    "unwritten": (WHOLE.replace("out[...] = 6", "out = 6"), 1, "12 of 15 DISAGREE"),
}


@pytest.mark.parametrize("case", OWN)
def test_a_layer_of_ones_own(case, tmp_path, capsys):
    code, exit_code, said = OWN[case]
    file = tmp_path / "mine.py"
    file.write_text(MINE + code, encoding="utf-8")
    assert main(["explain", str(file)]) == 0  # the first order is right
    capsys.readouterr()
    assert explain(str(file)) == exit_code
    captured = capsys.readouterr()
    assert said in captured.out + captured.err
    if not exit_code:
        assert "tangent            out = 3 a X^2 U" in captured.out
        assert "# mine.py\ndef tangent" in captured.out
