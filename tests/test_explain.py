"""The microscope: what it shows is what runs, and a wrong backward cannot hide from it."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import minigan as mg
from minigan.backend import numpy as ops
from minigan.cli.main import main
from minigan.config import CLASSES
from minigan.errors import ConfigError
from minigan.gan.consistency import ConsistencyPass
from minigan.gan.two_heads import TwoHeads
from minigan.lessons import TOPICS, explanation, find_topic
from minigan.lessons.contract_checks import ADVICE, NOT_CAPTURED
from minigan.lessons.exercise_definitions import EXERCISES
from minigan.lessons.layer_trace import LayerRow, PassTrace
from minigan.lessons.step_trace import trace_step
from minigan.nn.image import Image
from minigan.nn.layers.condition import AppendPass, EmbeddingPass
from minigan.nn.layers.dropout import DropoutPass
from minigan.nn.layers.linear import LinearPass
from minigan.nn.layers.pack import PackPass
from minigan.nn.layers.projection import ProjectionPass

ROOT = Path(__file__).resolve().parent.parent
ROW = re.compile(r"^([\w .]*\w\[[\d, ]+\]) .*?([+-][\d.]+|[+-]?nan)  +([+-][\d.]+)(  <-- WRONG)?$")
NAMES = [topic.name for topic in TOPICS]


def rows(text: str) -> list[tuple[str, str, str, bool]]:
    """The lines of a page that hold two columns of numbers: place, ours, theirs, marked."""
    found = [ROW.match(line) for line in text.splitlines()]
    return [(m[1], m[2], m[3], bool(m[4])) for m in found if m]


def test_every_layer_loss_and_optimizer_and_both_games_with_a_condition_can_be_explained():
    losses = {"bce", "bce_with_logits", "mean_squared_error", "softmax_cross_entropy"}
    ours = {
        cls.__name__
        for kind in ("layer", "optimizer")
        for cls in CLASSES[kind].values()
        if cls.__module__.startswith("minigan.")
    }
    games = {"ConditionalGAN", "InfoGAN", "TwoHeads", "Consistency"}
    assert set(NAMES) == {*ours, *losses, *games}
    for topic in TOPICS:
        assert (ROOT / "docs" / f"{topic.page}.md").is_file(), topic.page
    files = {topic.name: topic.exercise for topic in TOPICS}
    assert files["Projection"] == "ex17_projection.py"
    assert files["TwoHeads"] == "ex18_two_heads.py"
    assert files["softmax_cross_entropy"] == "ex10_softmax_cross_entropy.py"
    assert files["AppendCondition"] == ""
    without = {"ex12_network.py", "ex13_gan_step.py", "ex16_gradient_penalty.py"}  # of no topic
    assert {*files.values()} - {""} == {exercise.file for exercise in EXERCISES} - without


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_both_columns_agree_to_the_printed_digits(name, seed):
    text, right = find_topic(name).explain(seed)
    assert right
    columns = rows(text)
    assert len(columns) >= 4
    for place, ours, theirs, marked in columns:
        assert ours == theirs, (place, ours, theirs)
        assert not marked
    assert re.search(r"All \d+ agree to the printed digits", text)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_all_its_parts_and_prints_on_any_terminal(name):
    text, _ = find_topic(name).explain()
    parts = ["Formula", "Derivation, in brief", "Our code", "Live numbers"]
    places = [text.index(f"\n{part}") for part in parts]
    assert places == sorted(places)
    assert "def " in text
    assert text.isascii()
    assert max(len(line) for line in text.splitlines()) <= 100
    assert not any(line != line.rstrip() for line in text.splitlines())


def test_prose_fits_80_columns():
    prose = [topic.derivation for topic in TOPICS] + [ADVICE, NOT_CAPTURED]
    assert [line for text in prose for line in text.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (
            "Tanh",
            ["forward   Y = tanh(X)", "def apply(self", "def tanh(", "def tanh_backward("],
        ),
        ("bce", ["loss = mean of -(t log p", "def bce_loss(", "def bce_gradient("]),
        (
            "Conv2d",
            ["backward  dW = windows(X)^T dY", "def convolve(", "def _windows(", "def _gather("],
        ),
        ("BatchNorm", ["forward   n = (X - m) / sqrt(v + eps)", "def batch_statistics("]),
        ("LayerNorm", ["forward   n = (X - m) / sqrt(v + eps)", "def normalise_rows("]),
        ("Adam", ["data = (1 - lr", "def adam(", "def _adam_scalars("]),
        ("Projection", ["backward  dW = X^T (dY m)", "def backward(", "def _spread(", "def copy("]),
        ("ConditionalGAN", ["E[log D(x, y)]", "def take_real(", "def update_generator("]),
        ("InfoGAN", ["E[log Q(c | x)] + H(c)", "KL >= 0", "def code_gradient("]),
        ("Consistency", ["term = weight", "K m = 1", "def _logit_gradient(", "m, the mean of q"]),
        ("TwoHeads", ["in D's half, with D's optimizer", "def backward(", "its gradient from Q"]),
    ],
)
def test_formulas_and_the_code_behind_them_are_quoted(name, shown):
    text, _ = find_topic(name).explain()
    places = [text.index(part) for part in shown]
    assert places == sorted(places)


def test_images_are_printed_as_images():
    text, _ = find_topic("ConvTranspose2d").explain()
    of_Y = text.split("Y (1, 12), images of 3 x 4 x 1\n")[1].partition("\n\n")[0]
    assert [len(line.split()) for line in of_Y.splitlines()] == [4, 4, 4]
    grid = explanation.grid("X", np.arange(16.0)[None] / 10, Image(2, 4, 2))  # two channels
    assert grid.splitlines()[0] == "X (1, 16), images of 2 x 4 x 2"
    assert [line.split()[-1] for line in grid.splitlines()[1:]] == ["+0.7", "+1.5"]


# -- a wrong backward ---------------------------------------------------------------------


def spoiled(original):
    """A kernel whose result is off by a tenth in its last entry."""

    def kernel(*args, **settings):
        original(*args, **settings)
        out = settings["out"] if "out" in settings else args[-1]
        out[..., -1, -1] += 0.1

    return kernel


def linear_without_transpose(self, dY, *, parameter_grads=True, input_grad=True):
    self.ops.matmul(self.X, dY, out=self.dweight, transpose_A=True)
    self.dbias[...] = dY[:1]
    self.dX[...] = dY[:, :2]
    return self.dX


def dropout_with_a_new_mask(self, dY, *, parameter_grads=True, input_grad=True):
    self.dX[...] = dY
    return self.dX


def pack_without_deviations(self, dY, *, parameter_grads=True, input_grad=True):
    self.dX_packed[...] = dY[..., : self.width].reshape(self.packed)
    return self.dX


def with_a_turned_kernel(original):
    """A convolution whose kernel is read from its end, (kh kw, 1) of a single channel."""
    return lambda X, W, window, out: original(X, W[::-1].copy(), window, out)


def weight_gradient_without_padding(X, dY, window, out):
    """The border of zeros is forgotten: the windows lie a row and a column too low."""
    images = X.reshape(1, window.height, window.width)  # of one channel
    shifted = np.roll(images, (-1, -1), axis=(1, 2)).reshape(X.shape)
    convolve_weight_gradient(shifted, dY, window, out)


def normalise_backward_with_constants(dY, normalised, variance, gamma, eps, dgamma, dbeta, out):
    np.multiply(dY, gamma / np.sqrt(variance + eps), out=out)


def upsample_backward_of_one_copy(dY, size, factor, out):
    (h, w), (fh, fw) = size, factor
    out[...] = dY.reshape(-1, h, fh, w, fw)[:, :, 0, :, 0].reshape(out.shape)


def append_without_the_rest_of_dY(self, dY, *, parameter_grads=True, input_grad=True):
    self.ops.copy(self.pixels(dY)[..., -self.channels :], out=self.dX_pixels)
    return self.dX


def embedding_of_every_class(self, dY, *, parameter_grads=True, input_grad=True):
    self.dweight[...] = dY[..., self.features :].sum(axis=0)
    self.dX[...] = dY[..., : self.features]
    return self.dX


def projection_of_every_class(self, dY):
    return dY + 0.0 * self.chosen


def take_labels_of_another_order(self, repeat):
    mg.GAN.take_real(self, repeat)
    for half in range(3):
        self._condition.reshape(3, self.batch, -1)[half] = np.roll(self.labels, half == 1, axis=0)


def code_gradient_of_the_wrong_sign(self, guess, code, out):
    code_gradient(self, guess, code, out)
    out *= -1.0


def two_heads_of_which_one_is_overwritten(self, dY, *, parameter_grads=True, input_grad=True):
    dfeatures = self.head.backward(dY, parameter_grads=parameter_grads)
    self.game.code_gradient(self.guess, self.code, out=self.dguess)
    from_q = self.recogniser.backward(self.dguess, parameter_grads=not parameter_grads)
    dfeatures[..., self.generated, :] = from_q
    return self.trunk.backward(dfeatures, parameter_grads=parameter_grads, input_grad=input_grad)


def two_heads_of_which_one_is_lost(self, dY, *, parameter_grads=True, input_grad=True):
    self.game.code_gradient(self.guess, self.code, out=self.dguess)
    self.recogniser.backward(self.dguess, parameter_grads=not parameter_grads)
    dfeatures = self.head.backward(dY, parameter_grads=parameter_grads)
    return self.trunk.backward(dfeatures, parameter_grads=parameter_grads, input_grad=input_grad)


def cross_entropy_without_the_balance(self):
    np.subtract(self.q, self.p, out=self.dlogits)
    self.dlogits *= self.settings.weight / len(self.q)


convolve_weight_gradient = ops.convolve_weight_gradient
code_gradient = mg.InfoGAN.code_gradient
FAULTS = [
    ("Linear", LinearPass, "backward", linear_without_transpose),
    ("ReLU", ops, "relu_backward", spoiled(ops.relu_backward)),
    ("LeakyReLU", ops, "leaky_relu_backward", spoiled(ops.leaky_relu_backward)),
    ("ELU", ops, "elu_backward", spoiled(ops.elu_backward)),
    ("Sigmoid", ops, "sigmoid_backward", spoiled(ops.sigmoid_backward)),
    ("Tanh", ops, "tanh_backward", spoiled(ops.tanh_backward)),
    ("Dropout", DropoutPass, "backward", dropout_with_a_new_mask),
    ("Pack", PackPass, "backward", pack_without_deviations),
    ("Conv2d", ops, "convolve_input_gradient", with_a_turned_kernel(ops.convolve_input_gradient)),
    ("Conv2d", ops, "convolve_weight_gradient", weight_gradient_without_padding),
    ("ConvTranspose2d", ops, "convolve", with_a_turned_kernel(ops.convolve)),
    ("ConvTranspose2d", ops, "convolve_weight_gradient", weight_gradient_without_padding),
    ("BatchNorm", ops, "normalise_backward", normalise_backward_with_constants),
    ("BatchNorm", ops, "normalise_gradients", spoiled(ops.normalise_gradients)),
    ("LayerNorm", ops, "normalise_rows_backward", spoiled(ops.normalise_rows_backward)),
    ("LayerNorm", ops, "sum_rows", spoiled(ops.sum_rows)),
    ("Upsample2d", ops, "upsample_backward", upsample_backward_of_one_copy),
    ("AppendCondition", AppendPass, "backward", append_without_the_rest_of_dY),
    ("AppendChannels", AppendPass, "backward", append_without_the_rest_of_dY),
    ("Embedding", EmbeddingPass, "backward", embedding_of_every_class),
    ("Projection", ProjectionPass, "_spread", projection_of_every_class),
    ("bce", ops, "bce_gradient", spoiled(ops.bce_gradient)),
    ("bce_with_logits", ops, "bce_with_logits_gradient", spoiled(ops.bce_with_logits_gradient)),
    (
        "mean_squared_error",
        ops,
        "mean_squared_error_gradient",
        spoiled(ops.mean_squared_error_gradient),
    ),
    (
        "softmax_cross_entropy",
        ops,
        "softmax_cross_entropy_gradient",
        spoiled(ops.softmax_cross_entropy_gradient),
    ),
    ("SGD", ops, "sgd", lambda data, grad, velocity, clock, momentum: None),
    ("RMSprop", ops, "rmsprop", lambda data, grad, *rest: np.subtract(data, 0.1 * grad, out=data)),
    ("Adam", ops, "adam", lambda data, grad, *rest: np.subtract(data, 0.1 * grad, out=data)),
    ("ConditionalGAN", mg.ConditionalGAN, "take_real", take_labels_of_another_order),
    ("InfoGAN", mg.InfoGAN, "code_gradient", code_gradient_of_the_wrong_sign),
    ("Consistency", ConsistencyPass, "_logit_gradient", cross_entropy_without_the_balance),
    ("Consistency", ops, "add_rows", spoiled(ops.add_rows)),
    ("TwoHeads", mg.InfoGAN, "code_gradient", code_gradient_of_the_wrong_sign),
    ("TwoHeads", TwoHeads, "backward", two_heads_of_which_one_is_overwritten),
    ("TwoHeads", TwoHeads, "backward", two_heads_of_which_one_is_lost),
]


def test_each_subject_has_a_fault_here():
    assert {name for name, *_ in FAULTS} == set(NAMES)


@pytest.mark.parametrize(("name", "owner", "what", "fault"), FAULTS, ids=lambda x: str(x)[:20])
def test_a_wrong_backward_is_visible_and_marked(name, owner, what, fault, monkeypatch, capsys):
    monkeypatch.setattr(owner, what, fault)
    assert main(["explain", name]) == 1
    text = capsys.readouterr().out
    columns = rows(text)
    marked = [row for row in columns if row[3]]
    assert marked
    for place, ours, theirs, wrong in columns:
        assert wrong == (ours != theirs), place
    assert re.search(rf"{len(marked)} of {len(columns)} DISAGREE", text)


def test_a_gradient_that_is_no_number_is_marked(monkeypatch):
    def nan(dY, Y, out):
        out.fill(np.nan)

    monkeypatch.setattr(ops, "tanh_backward", nan)
    text, right = find_topic("Tanh").explain()
    assert not right
    assert text.count("<-- WRONG") == 12


# -- the command --------------------------------------------------------------------------


def test_names_are_found_in_any_case(capsys):
    assert main(["explain", "linear"]) == 0
    assert capsys.readouterr().out.startswith("Linear\n")
    for name in ("Leaky-ReLU", "leaky_relu", "leaky relu", "lrelu"):
        assert main(["explain", name]) == 0
        assert capsys.readouterr().out.startswith("LeakyReLU\n")


USUAL = {
    "Linear": ("dense", "fully-connected", "FC"),
    "Conv2d": ("conv2d", "convolution", "conv"),
    "ConvTranspose2d": ("conv_transpose2d", "transposed convolution", "deconvolution"),
    "BatchNorm": ("batch_norm", "batch normalization", "BatchNorm2d"),
    "LayerNorm": ("layer_norm", "layer normalization", "ln"),
    "Upsample2d": ("upsampling", "nearest-neighbour"),
    "AppendCondition": ("append_condition", "append"),
    "AppendChannels": ("append_channels", "constant channels"),
    "Embedding": ("embedding", "label embedding"),
    "Projection": ("projection", "projection discriminator"),
    "ConditionalGAN": ("cGAN", "conditional GAN"),
    "InfoGAN": ("Q", "mutual information", "info_gan", "recogniser"),
    "TwoHeads": ("two heads", "trunk"),
    "Consistency": ("moved copies", "augmentation"),
    "Sigmoid": ("logistic",),
    "bce": ("BCE", "binary cross-entropy", "BCELoss"),
    "bce_with_logits": ("logits", "BCEWithLogitsLoss"),
    "mean_squared_error": ("mse", "MSELoss", "mean squared error"),
    "softmax_cross_entropy": ("softmax", "cross-entropy", "cross_entropy", "CrossEntropyLoss"),
}


def test_usual_other_names_are_found():
    for name, words in USUAL.items():
        assert {find_topic(word).name for word in words} == {name}
    names = [word.casefold() for topic in TOPICS for word in (topic.name, *topic.aliases)]
    assert len(set(names)) == len(names), "a name leads to one topic"


def test_the_list_says_what_each_topic_is(capsys):
    assert main(["explain"]) == 0
    out = capsys.readouterr().out
    listed = dict(line.split(None, 1) for line in out.splitlines() if re.match(r"  \w", line))
    assert [*listed] == NAMES
    assert listed["ReLU"] == "Y = max(X, 0)."
    assert listed["bce"] == "Binary cross-entropy of probabilities."
    groups = [line for line in out.splitlines()[1:] if re.match(r"\w", line)]
    assert groups == ["layers", "losses", "optimizers", "games"]
    assert max(map(len, out.splitlines())) <= 80


def test_another_seed_shows_other_numbers(capsys):
    pages = []
    for flags in ([], ["--seed", "0"], ["--seed", "5"]):
        assert main(["explain", "Tanh", *flags]) == 0
        pages.append(capsys.readouterr().out)
    assert pages[0] == pages[1] != pages[2]


REFUSED = [
    (["Linaer"], "did you mean Linear?"),
    (["nothing"], "there is no topic 'nothing'; `minigan explain` lists them"),
    (["crossentropyy"], "did you mean cross-entropy?"),
    (["LinearDecay"], "no live numbers of LinearDecay; read help(minigan.LinearDecay)"),
    (["nowhere/run"], "nowhere/run holds no run"),
    (["none.py"], "there is no file none.py"),
    (["empty.py"], "defines no layer"),
    (["broken.py"], "line 1: ZeroDivisionError"),
    (["Linear", "--seed", "-1"], "must be an integer >= 0"),
    (["Linear", "--previous"], "are for a run folder"),
    (["Linear", "--data-dir", "x"], "are for a run folder"),
    (["nowhere/run", "--seed", "1"], "a run has its own numbers"),
    ([""], "must not be empty"),
    (["raises.py"], "cannot make a layer of raises.py: line 7: ValueError: no"),
]


@pytest.mark.parametrize(("arguments", "said"), REFUSED)
def test_what_cannot_be_explained_is_one_sentence(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "broken.py").write_text("1 / 0\n", encoding="utf-8")
    (tmp_path / "raises.py").write_text(RAISES, encoding="utf-8")
    try:
        code = main(["explain", *arguments])
    except SystemExit as error:  # argparse
        code = error.code
    assert code == 2
    assert said in capsys.readouterr().err.replace("\\", "/")


RAISES = """\
from dataclasses import dataclass
import minigan as mg
@dataclass(frozen=True)
class Bad(mg.Layer):
    size: int = 0
    def __post_init__(self):
        raise ValueError("no")
    def bind(self, binding):
        return None
"""
MINE = """
from dataclasses import dataclass

import numpy as np

from minigan import Layer
from minigan.nn.layers.activations import ActivationPass


@dataclass(frozen=True)
class Square(Layer):
    def bind(self, binding):
        return SquarePass(binding)


class SquarePass(ActivationPass):
    def forward(self, X, train):
        "Y = X^2"
        self.X = X
        np.multiply(X, X, out=self.Y)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        "dX = 2 X dY"
        np.multiply(dY, FACTOR * self.X, out=self.dX)
        return self.dX
"""


def test_a_layer_of_ones_own_is_explained(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text(MINE.replace("FACTOR", "2"), encoding="utf-8")
    assert main(["explain", str(file)]) == 0
    text = capsys.readouterr().out
    assert "Square" in text
    assert "forward   Y = X^2" in text
    assert "# mine.py\ndef forward" in text
    file.write_text(MINE.replace("FACTOR", "3"), encoding="utf-8")
    assert main(["explain", str(file)]) == 1
    assert "12 of 12 DISAGREE" in capsys.readouterr().out
    file.write_text(MINE.replace("FACTOR", "np.ones(7)"), encoding="utf-8")
    assert main(["explain", str(file)]) == 2
    said = capsys.readouterr().err
    assert re.search(r"Square\(\) does not run: line \d+: ValueError: operands could not", said)


CONDITIONED = """from dataclasses import dataclass
import numpy as np
import minigan as mg


@dataclass(frozen=True)
class Gate(mg.Layer):
    in_features: int = 3
    condition_features: int = 2

    def parameter_shapes(self):
        return {"A": (self.condition_features, self.in_features)}

    def initialise(self, ops, stream, tensors):
        ops.fill_uniform(stream, 0.5, 1.5, out=tensors["A"])

    def bind(self, binding):
        return GatePass(binding)

class GatePass(mg.LayerPass):
    def __init__(self, binding):
        super().__init__(binding)
        self.A, self.dA = binding.parameters["A"], binding.gradients["A"]
        self.C = binding.condition

    def forward(self, X, train):
        "Y = X (c A)"
        self.X = X
        self.Y[...] = X * (self.C @ self.A)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        "dX = dY (c A)"
        if parameter_grads:
            self.dA[...] = self.C.mT @ (dY * self.X)
        self.dX[...] = dY * (self.C @ self.A)
        return self.dX
"""


def test_a_layer_of_ones_own_that_reads_a_condition_is_explained(tmp_path, capsys):
    file = tmp_path / "gate.py"
    file.write_text(CONDITIONED, encoding="utf-8")
    assert main(["explain", str(file)]) == 0
    text = capsys.readouterr().out
    assert "condition (4, 2)\n    +1.0  +0.0\n    +0.0  +1.0\n    +1.0  +0.0" in text
    assert "for 1 row at a time:                right" in text
    rows_of_X = "self.C = binding.condition[..., :4, :]"  # right for the four rows that are proved
    file.write_text(CONDITIONED.replace("self.C = binding.condition", rows_of_X), encoding="utf-8")
    assert main(["explain", str(file)]) == 1
    assert "wrong for 1,000 rows" in capsys.readouterr().out


BACKWARDS = [
    ("np.multiply(dY, 2 * self.X, out=self.dX)", 0),
    ("dY *= 2 * self.X\n        return dY", 1),  # dY belongs to the caller
    ("dY *= 0\n        return dY", 1),  # it must not weigh the loss with that
    ("self.dX[...] = self.dX + 2 * self.X * dY", 1),  # gradients are overwritten, not added to
    ("self.first = getattr(self, 'first', self.X)\n        self.dX[...] = 2 * self.first * dY", 1),
    ("raise SystemExit(0)", 2),
    ("raise KeyboardInterrupt", 130),
]


@pytest.mark.parametrize(("line", "code"), BACKWARDS)
def test_backward_is_watched_from_all_sides(line, code, tmp_path, capsys):
    text = MINE.replace("np.multiply(dY, FACTOR * self.X, out=self.dX)", line)
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    assert main(["explain", str(tmp_path / "mine.py")]) == code
    assert ("<-- WRONG" in capsys.readouterr().out) == (code == 1)


HARD_TANH = """
    def forward(self, X, train):
        "Y = X, held in [-1, 1]"
        self.X = np.array(X)
        np.clip(X, -1, 1, out=self.Y)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        "dX = dY where -1 < X < 1, else 0"
        np.multiply(dY, abs(self.X) < 1, out=self.dX)
        return self.dX

    def kinks(self):
        return abs(self.X) - 1


class Base(Layer):
    "No layer by itself."


@dataclass(frozen=True)
class Sized(Layer):
    size: int

    def bind(self, binding):
        return SquarePass(binding)
"""


@pytest.mark.parametrize("seed", range(6))
def test_a_layer_with_kinks_at_round_numbers_is_right(seed, tmp_path, capsys):
    start = MINE[: MINE.index("    def forward")]
    (tmp_path / "mine.py").write_text(start + HARD_TANH, encoding="utf-8")
    assert main(["explain", str(tmp_path / "mine.py"), "--seed", str(seed)]) == 0
    done = capsys.readouterr()
    assert "not shown, since they need settings: Sized;" in done.err
    assert "Base" not in done.out


OTHERS = {
    "LogPass": ("np.log(X, out=self.Y)", "dY / self.X", 0),
    "AbsPass": ("np.abs(X, out=self.Y)", "dY * np.sign(self.X)", 0),
    "NewArray": ("self.Y = X * X", "2 * self.X * dY", 0),  # copied to where it belongs
    "Wide": ("self.Y[...] = X * np.float64(2)", "np.float64(2) * dY", 0),
    "WideResult": ("self.Y = X * np.float64(2)", "np.float64(2) * dY", 1),  # of NumPy: float64
    "OnlyBoth": ("np.multiply(X, X, out=self.Y)", "parameter_grads * 2 * self.X * dY", 1),
    "NotAlone": (
        "np.multiply(X, X, out=self.Y)",
        "2 * self.X * dY if parameter_grads else np.nan",
        1,
    ),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_layers_of_all_sorts_get_the_right_verdict(name, seed, tmp_path, capsys):
    forward, backward, code = OTHERS[name]
    text = MINE.replace("np.multiply(X, X, out=self.Y)", forward)
    text = text.replace(
        "np.multiply(dY, FACTOR * self.X, out=self.dX)", f"self.dX[...] = {backward}"
    )
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    assert main(["explain", str(tmp_path / "mine.py"), "--seed", str(seed)]) == code
    said = capsys.readouterr()
    assert ("<-- WRONG" in said.out) == (code == 1)
    assert (ADVICE in said.out) == (code == 1)


EARLY = """
    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        if not input_grad:
            return None
        if parameter_grads:
            np.sum(dY * self.X, axis=-2, keepdims=True, out=self.dscale)
"""
LATE = """
    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        if parameter_grads:
            np.sum(dY * self.X, axis=-2, keepdims=True, out=self.dscale)
        if not input_grad:
            return None
"""


@pytest.mark.parametrize(("order", "code"), [(EARLY, 1), (LATE, 0)], ids=["early", "late"])
def test_a_return_before_the_parameters_gradients_is_marked(order, code, tmp_path, capsys):
    text = LEARNED.replace("RETURN", "return self.Y")
    start, end = text.index("\n    def backward"), text.index("        np.multiply(dY, self.scale")
    (tmp_path / "mine.py").write_text(text[:start] + order + text[end:], encoding="utf-8")
    assert main(["explain", str(tmp_path / "mine.py")]) == code
    (line,) = re.findall(r"^for the parameters alone:.*", capsys.readouterr().out, re.MULTILINE)
    assert line.endswith("<-- WRONG" if code else "right")


#: Arrays that a pass does not see in its layers.
BOX = """
class Box:
    def __init__(self, array):
        self.array = array

    def __getitem__(self, _):
        return self.array


"""
PROMISED = """
class DropPass(ActivationPass):
    capturable = SAID

    def __init__(self, binding):
        super().__init__(binding)
        self.masks = MADE
        self.stream = binding.stream

    def forward(self, X, train):
        if train and not self.hold:
            self.ops.fill_dropout_mask(self.stream, 0.5, out=self.masks[0])
        if train:
            self.ops.dropout(X, self.masks[0], out=self.Y)
        else:
            self.ops.copy(X, out=self.Y)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        if self.train:
            self.ops.dropout_backward(dY, self.masks[0][: len(dY)], out=self.dX)
        else:
            self.ops.copy(dY, out=self.dX)
        return self.dX
"""


@pytest.mark.parametrize(
    ("said", "made", "line"),
    [
        ("True", "[binding.empty(*self.Y.shape[-2:])]", "right"),
        # Arrays that the pass did not hand out, or cannot see: nothing is cut.
        ("True", "Box(binding.empty(*self.Y.shape[-2:]))", None),
        ("True", "[np.ones(self.Y.shape)]", None),
        ("False", "[binding.empty(*self.Y.shape[-2:])]", None),
    ],
)
def test_a_mask_that_is_not_cut_is_found_in_training(said, made, line, tmp_path, capsys):
    start = MINE[: MINE.index("class SquarePass")].replace("SquarePass", "DropPass")
    text = start + BOX + PROMISED.replace("SAID", said).replace("MADE", made)
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    assert main(["explain", str(tmp_path / "mine.py")]) == (1 if line == "<-- WRONG" else 0)
    found = re.findall(r"^for some of the rows:.*", capsys.readouterr().out, re.MULTILINE)
    assert len(found) == (line is not None)
    assert not found or found[0].endswith(line)


def test_bind_must_return_a_pass(tmp_path, capsys):
    text = MINE.replace("FACTOR", "2").replace("return SquarePass", "SquarePass")
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    assert main(["explain", str(tmp_path / "mine.py")]) == 2
    assert "bind must return a LayerPass, not None" in capsys.readouterr().err


def test_a_random_layer_must_hold_its_numbers(tmp_path, capsys):
    text = MINE.replace("FACTOR", "2").replace(
        "np.multiply(X, X,", "np.multiply(X, np.random.rand(*X.shape),"
    )
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    assert main(["explain", str(tmp_path / "mine.py")]) == 2
    assert "forward gives two results at one X" in capsys.readouterr().err


def test_one_layer_that_does_not_run_does_not_hide_the_others(tmp_path, capsys):
    text = MINE.replace("FACTOR", "2") + "\n\nclass Second(Square):\n    bind = None\n"
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    assert main(["explain", str(tmp_path / "mine.py")]) == 2
    done = capsys.readouterr()
    assert "All 12 agree" in done.out
    assert "Second() does not run: TypeError" in done.err


PROMISES = [
    ("in_place = True", "Linear, it, Dropout: +off by"),  # but it reads X in backward
    ("keeps_signs = True", None),  # without in_place nobody asks
    ("in_place, keeps_signs = True, True", "Linear, it, Dropout: +off by"),
    ("pass", None),
]


@pytest.mark.parametrize(("promise", "said"), PROMISES)
def test_a_broken_promise_of_ones_own_layer_is_marked(promise, said, tmp_path, capsys):
    text = MINE.replace("FACTOR", "2").replace("    def bind", f"    {promise}\n\n    def bind", 1)
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    code = main(["explain", str(tmp_path / "mine.py")])
    out = capsys.readouterr().out
    assert "All 12 agree" in out  # alone it is right
    assert code == (0 if said is None else 1)
    assert ("<-- WRONG" in out) == (said is not None)
    if said:
        assert re.search(said, out)


BY_WORDS = """
    capturable = SAID

    def __init__(self, binding):
        super().__init__(binding)
        self.kept = [MADE]

    def forward(self, X, train):
        "Y = X^2"
        self.ops.copy(X, out=self.kept[0])
        FORWARD
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        "dX = 2 X dY"
        BACKWARD
        return self.dX
"""
FORWARD = "self.ops.dropout(X, X, out=self.Y)"
BACKWARD = (
    "self.ops.dropout_backward(dY, self.kept[0][: len(dY)], out=self.dX)\n"
    "        self.ops.add(self.dX, self.dX, out=self.dX)"
)
MADE = "binding.empty(*self.Y.shape[-2:])"


def by_words(said="True", made=MADE, forward=FORWARD, backward=BACKWARD) -> str:
    """A layer's file: Y = X^2, made of backend functions."""
    text = BY_WORDS.replace("SAID", said).replace("MADE", made)
    text = text.replace("FORWARD", forward).replace("BACKWARD", backward)
    start, end = MINE.index("class SquarePass"), MINE.index("    def forward")
    return MINE[:start] + BOX + MINE[start:end] + text


@pytest.mark.parametrize(
    ("made", "cut"), [(MADE, True), ("np.ones(self.Y.shape)", False), ("self.Y.copy()", False)]
)
def test_rows_are_cut_only_if_all_arrays_are_the_bindings(made, cut, tmp_path, capsys):
    (tmp_path / "mine.py").write_text(by_words(made=made), encoding="utf-8")
    assert main(["explain", str(tmp_path / "mine.py")]) == 0
    lines = re.findall(r"^for some of the rows:.*", capsys.readouterr().out, re.MULTILINE)
    assert len(lines) == cut
    assert all(line.endswith("right") for line in lines)


#: Formulas in plain NumPy, which are not recorded with a step.
NUMPYS_FORWARD = "self.Y[...] = X * X"
NUMPYS_BACKWARD = "self.dX[...] = 2 * self.kept[0] * dY"
PLAIN = {
    "words": (FORWARD, BACKWARD, True),
    "backward": (FORWARD, NUMPYS_BACKWARD, False),
    "both": (NUMPYS_FORWARD, NUMPYS_BACKWARD, False),
    "forward": (NUMPYS_FORWARD, BACKWARD, False),
    "ufunc": ("np.multiply(X, X, out=self.Y)", BACKWARD, False),
    # Linear ones, whose gradients are the same at every X.
    "linear": ("self.Y[...] = 2 * X", "self.dX[...] = 2 * dY", False),
    "linear backward": ("self.ops.add(X, X, out=self.Y)", "self.dX[...] = 2 * dY", False),
}


@pytest.mark.parametrize("name", PLAIN)
def test_a_layer_that_says_it_can_be_replayed_but_computes_in_numpy_is_caught(
    name, tmp_path, capsys
):
    """Its gradients are right every time, until its calls are replayed without it."""
    forward, backward, right = PLAIN[name]
    file = tmp_path / "mine.py"
    file.write_text(by_words("False", forward=forward, backward=backward), encoding="utf-8")
    assert main(["explain", str(file)]) == 0  # without the promise there is nothing wrong with it
    out = capsys.readouterr().out
    assert "All 12 agree" in out
    assert "when replayed:" not in out
    assert NOT_CAPTURED in out
    file.write_text(by_words("True", forward=forward, backward=backward), encoding="utf-8")
    assert main(["explain", str(file)]) == (0 if right else 1)
    out = capsys.readouterr().out
    assert "All 12 agree" in out
    wrong = [line for line in out.splitlines() if line.endswith("<-- WRONG")]
    (line,) = re.findall(r"^when replayed: .*", out, re.MULTILINE)
    assert wrong == ([] if right else [line])
    assert re.search(r" right$" if right else r" off by [\d.e+-]+ +<-- WRONG$", line)
    assert (ADVICE in out) != right
    assert NOT_CAPTURED not in out


def test_a_function_that_cannot_be_recorded_is_reported(tmp_path, capsys):
    """A captured step has no memory but that of the first, so it takes none."""
    line = "from minigan.backend.numpy.recording import np as other\n        "
    text = by_words(forward=f"{line}np.copyto(self.Y, other.square(X))")
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    assert main(["explain", str(tmp_path / "mine.py")]) == 1
    said = r"^when replayed: +a captured step may not take new memory: .*square.*<-- WRONG$"
    assert re.search(said, capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize("said", ["True", "False"])
def test_a_pass_that_inherits_its_promise_has_made_none(said, tmp_path, capsys):
    text = by_words().replace("class SquarePass", "class FirstPass")
    text += (
        f"\n\nclass SquarePass(FirstPass):\n    capturable = {said}\n\n"
        "    def forward(self, X, train):\n        return super().forward(X, train)\n"
    )
    for line, says in ((f"    capturable = {said}\n", said == "True"), ("", False)):
        file = tmp_path / "mine.py"
        before, after = text.split("class SquarePass(FirstPass)")
        after = after.replace(f"    capturable = {said}\n", line)
        file.write_text(f"{before}class SquarePass(FirstPass){after}", encoding="utf-8")
        assert main(["explain", str(file)]) == 0
        out = capsys.readouterr().out
        assert bool(re.search(r"^when replayed: +right$", out, re.MULTILINE)) == says
        assert bool(re.search(r"^for some of the rows: +right$", out, re.MULTILINE)) == says
        assert (NOT_CAPTURED in out) != says


def test_a_layer_that_mixes_rows_is_replayed_but_not_cut(tmp_path, capsys):
    text = by_words().replace("    def bind", "    mixes_rows = True\n\n    def bind", 1)
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    assert main(["explain", str(tmp_path / "mine.py")]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^when replayed: +right$", out, re.MULTILINE)
    assert "backward for some rows" not in out


def test_a_layer_that_keeps_pairs_of_rows_together_is_explained(tmp_path, capsys):
    text = by_words().replace("    def bind", "    rows_multiple = 2\n\n    def bind", 1)
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    assert main(["explain", str(tmp_path / "mine.py")]) == 0


LEARNED = """
from dataclasses import dataclass

import numpy as np

from minigan import Layer, ShapeError
from minigan.nn import LayerPass


@dataclass(frozen=True)
class Scale(Layer):
    "Y = X * scale, a learned number for each feature."

    features: int

    def output_shape(self, shape):
        if shape[1] != self.features:
            raise ShapeError("another number of features")
        return shape

    def parameter_shapes(self):
        return {"scale": (1, self.features)}

    def initialise(self, ops, stream, parameters):
        ops.fill(0.25, out=parameters["scale"])

    def bind(self, binding):
        return ScalePass(binding)


class ScalePass(LayerPass):
    def __init__(self, binding):
        super().__init__(binding)
        self.scale, self.dscale = binding.parameters["scale"], binding.gradients["scale"]

    def forward(self, X, train):
        self.X = X
        np.multiply(X, self.scale, out=self.Y)
        RETURN

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        if parameter_grads:
            np.sum(dY * self.X, axis=-2, keepdims=True, out=self.dscale)
        np.multiply(dY, self.scale, out=self.dX)
        return self.dX


four = Scale(4)
"""


def test_a_learned_layer_of_ones_own_is_shown_with_its_own_numbers(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text(LEARNED.replace("RETURN", "return self.Y"), encoding="utf-8")
    assert main(["explain", str(file)]) == 0
    text = capsys.readouterr().out
    assert "X (4, 4)" in text
    assert "+0.250000  +0.250000" in text
    assert "dscale[0, 3]" in text
    file.write_text(LEARNED.replace("RETURN", "pass"), encoding="utf-8")
    assert main(["explain", str(file)]) == 2
    assert "forward returned None" in capsys.readouterr().err


# -- a step of a run ----------------------------------------------------------------------


def gan_of(optimize=None, **settings) -> mg.GAN:
    """A small GAN, bound to 16 samples; `optimize` makes the optimizer of G's parameters."""
    G = mg.Sequential(mg.Linear(2, 8), mg.ReLU(), mg.Linear(8, 1), seed=1, name="generator")
    D = mg.Sequential(
        *(mg.Linear(1, 8), mg.LeakyReLU(0.2), mg.Dropout(0.3), mg.Linear(8, 6)),
        *(mg.Sigmoid(), mg.Linear(6, 1)),
        seed=1,
        name="discriminator",
    )
    optimizer = optimize(G.parameters) if optimize else None
    gan = mg.GAN(G, D, mg.Uniform(-1, 1, dim=2), None, optimizer, average=0.9, **settings)
    gan.bind(16)
    return gan


def gan_of_digits() -> mg.GAN:
    """A small one for images of 8 x 8."""
    G = mg.Sequential(mg.Linear(4, 64), mg.Tanh(), seed=1, name="generator")
    D = mg.Sequential(mg.Linear(64, 1), seed=1, name="discriminator")
    return mg.GAN(G, D, mg.Normal(dim=4))


@pytest.mark.parametrize("settings", [{}, {"same_noise": True}, {"d_steps": 2, "g_steps": 2}])
def test_the_step_is_the_one_that_training_takes(settings):
    watched, plain = gan_of(**settings), gan_of(**settings)
    for gan in (watched, plain):
        data = mg.Gaussian()
        for _ in range(3):
            data.next_batch(out=gan.real)
            gan.step()
        gan.losses()
        if gan is watched:
            seen = trace_step(gan, data)
        else:
            data.next_batch(out=gan.real)
            gan.step()
            losses = gan.losses()
    for name, tensor in watched.state()[0].items():
        np.testing.assert_array_equal(tensor, plain.state()[0][name], err_msg=name)
    assert watched.state()[1] == plain.state()[1]
    assert seen.losses == losses
    assert seen.step == 4
    for _, whole in watched.passes():  # nothing is left in the layers
        for bound in (whole, *whole.parts):
            for layer in bound.layers:
                assert not {"forward", "backward"} & set(vars(layer))


def test_the_losses_are_those_of_the_step_alone():
    """Those of the steps before, which were not read, are not averaged into them."""
    watched, plain = gan_of(), gan_of()
    for gan in (watched, plain):
        data = mg.Gaussian()
        for _ in range(3):
            data.next_batch(out=gan.real)
            gan.step()
        if gan is watched:
            seen = trace_step(gan, data)
    before = plain.losses()
    data.next_batch(out=plain.real)
    plain.step()
    assert seen.losses == plain.losses() != before


def test_rows_of_a_pass_that_run_alone_are_recorded_too():
    """G makes the samples of both halves in one pass, of which each half has its rows."""
    seen = trace_step(gan_of(), mg.Gaussian())
    (makes,) = (one.rows for one in seen.passes if one.network == "G")
    assert [row.shape[0] for row in makes] == [32] * 3
    assert [row.grad_rows for row in makes] == [16] * 3  # of G's own half alone
    (bias,) = (row for row in seen.moved if row.name == "G 2.bias")
    assert abs(16 * makes[-1].grad_mean) == pytest.approx(bias.gradient, rel=1e-4)
    more = trace_step(gan_of(d_steps=2, g_steps=2), mg.Gaussian()).passes
    assert [one.network for one in more] == [
        *("G", "D in its half"),
        *("G", "D in its half"),
        *("D in G's half", "G", "D in G's half"),
    ]
    makes = [one.rows for one in more if one.network == "G"]
    assert [rows[0].shape[0] for rows in makes] == [16, 32, 16]
    assert [rows[0].grad_rows for rows in makes] == [0, 16, 16]


def test_what_the_layers_saw_is_right():
    gan = gan_of(same_noise=True)
    data = mg.Gaussian()
    old = gan.discriminator.parameters.data.copy()
    seen = trace_step(gan, data)
    networks = [one.network for one in seen.passes]
    assert networks == ["G", "D in its half", "D in G's half"]
    first = seen.passes[1]
    assert [row.layer for row in first.rows] == [
        *("0 Linear", "1 LeakyReLU", "2 Dropout", "3 Linear", "4 Sigmoid", "5 Linear")
    ]
    real, z = gan.real.copy(), gan._z.copy()
    twin = gan_of(same_noise=True)
    fake = twin.generator.predict(z)
    Y = np.concatenate([real, fake]) @ old[:8].reshape(1, 8) + old[8:16]  # (32, 8)
    row = first.rows[0]
    assert row.shape == (32, 8)
    assert row.mean == pytest.approx(Y.mean(), abs=1e-5)
    assert row.std == pytest.approx(Y.std(), rel=1e-4)
    assert np.isnan(row.flat)
    relu = seen.passes[0].rows[1]
    H = z @ twin.generator.parameters.named()["0.weight"]
    H = H + twin.generator.parameters.named()["0.bias"]  # (16, 8)
    assert relu.flat == pytest.approx((H <= 0).mean())
    assert relu.dead == pytest.approx((H <= 0).all(axis=0).mean())
    moved = {row.name: row for row in seen.moved}
    update = gan.discriminator.parameters.data - old
    total = np.sqrt(sum(moved[n].update ** 2 for n in moved if n.startswith("D")))
    assert total == pytest.approx(np.linalg.norm(update), rel=1e-5)
    assert moved["D 0.weight"].value == pytest.approx(np.linalg.norm(old[:8]), rel=1e-6)
    last = gan.discriminator.parameters.named_grads()["0.weight"]
    assert moved["D 0.weight"].gradient == pytest.approx(np.linalg.norm(last), rel=1e-6)


def test_the_real_samples_are_those_that_training_would_see_next(tmp_path, monkeypatch):
    from minigan.cli import explain as command

    out = tmp_path / "run"
    X = mg.load_images("digits").train
    gan = gan_of_digits()
    mg.Trainer(gan, mg.Images(X, seed=7, dataset="digits"), out=out, batch=16).fit(steps=3)
    seen = []

    def look(gan, data):
        data.next_batch(out=gan.real)
        seen.append(gan.real.copy())
        return ""

    class Step:
        step = 4

    monkeypatch.setattr(command, "trace_step", lambda gan, data, rows: look(gan, data) or Step())
    assert main(["explain", str(out)]) == 0
    expected = mg.Images(X, seed=7)
    real = np.empty((16, 64), "float32")
    for _ in range(4):
        expected.next_batch(out=real)
    np.testing.assert_array_equal(seen[0], real)


def test_the_slope_that_counts_as_flat_is_that_of_the_layer():
    def walked(*layers):
        G = mg.Sequential(*layers, mg.Linear(1, 1), name="generator", dtype="float64")
        D = mg.Sequential(mg.Linear(1, 1), name="discriminator", dtype="float64")
        gan = mg.GAN(G, D, mg.Uniform(-4, -3.99, dim=1), same_noise=True)
        gan.bind(8)
        return trace_step(gan, mg.Gaussian()).passes[0].rows[0]

    assert walked(mg.Sigmoid()).flat == 0.0  # slope 0.018, of at most 0.25
    assert walked(mg.Tanh()).flat == 1.0
    assert walked(mg.ELU(3.0)).flat == 1.0  # slope 0.055, of at most 3
    assert walked(mg.ELU(1.0)).flat == 1.0  # slope 0.018, of at most 1
    assert walked(mg.LeakyReLU(0.2)).flat == 0.0
    assert walked(mg.ReLU()).dead == 1.0


def test_updates_that_are_too_large_or_too_small_are_named():
    def remarks(lr, decay=None):
        gan = gan_of(lambda parameters: mg.SGD(parameters, lr=lr, decay=decay))
        gan.generator.parameters.named()["2.bias"][:] = 0.0
        step = trace_step(gan, mg.Gaussian())
        (row,) = (row for row in step.moved if row.name == "G 0.weight")
        assert row.update == pytest.approx(step.rates["G"] * row.gradient, rel=2e-2)  # of float32
        assert row.ratio == pytest.approx(row.update / row.value)
        return step, "\n".join(step.remarks())

    _, said = remarks(1e-4)
    assert "G 0.weight: hardly moves" in said  # its gradient is small, too
    assert "G 2.bias" not in said  # it began at 0, of which nothing is a share
    _, said = remarks(1e3)
    assert re.search(r"G 0.weight: one step moved it by \d+%", said)
    step, said = remarks(1e-2, mg.LinearDecay(end=1))
    assert step.rates["G"] == 1e-2  # of this step, not the next
    assert "moved" not in said


def gan_of_images(optimizer=mg.Adam, **settings) -> mg.GAN:
    """Convolutions and batch normalisation in both networks, on images of 8 x 8."""
    G = mg.Sequential(
        *(mg.Linear(4, 32), mg.BatchNorm(2), mg.ReLU(), mg.ConvTranspose2d(2, 6, size=(4, 4))),
        *(mg.BatchNorm(6), mg.ReLU(), mg.Conv2d(6, 1, 3, 1, size=(8, 8)), mg.Tanh()),
        seed=1,
        name="generator",
    )
    D = mg.Sequential(
        *(mg.Conv2d(1, 4, size=(8, 8)), mg.ReLU(), mg.Conv2d(4, 8, size=(4, 4), bias=False)),
        *(mg.BatchNorm(8), mg.LeakyReLU(0.2), mg.Linear(32, 1)),
        seed=1,
        name="discriminator",
    )
    settings["generator_optimizer"] = optimizer(G.parameters, lr=1e-3)
    gan = mg.GAN(G, D, mg.Normal(dim=4), **settings)
    gan.bind(16)
    return gan


def test_a_dead_unit_of_a_convolution_is_a_channel():
    gan = gan_of_images()
    G, D = (net.parameters.named() for net in (gan.generator, gan.discriminator))
    D["0.bias"][:, 1] = -100.0  # a channel that is off in each pixel of each image
    G["1.beta"][:, 0] = -100.0  # Linear has weights for each pixel: half of its units are off
    trace = trace_step(gan, mg.Images(mg.load_images("digits").train))
    real = next(one for one in trace.passes if one.network == "D on real samples")
    of_linear, of_convolution = (trace.passes[0].rows[i] for i in (2, 5))
    assert real.rows[1].dead == 0.25
    assert real.rows[1].flat > 0.25
    assert 0.5 <= of_linear.dead < 1.0
    assert of_convolution.dead == 0.0
    assert "G, 2 ReLU: 5" in str(trace)


def test_the_trace_of_a_game_on_images_has_a_row_for_each_layer():
    gan = gan_of_images()
    trace = trace_step(gan, mg.Images(mg.load_images("digits").train))
    text = str(trace)
    titles = [title for title in text.splitlines() if re.match("[GD] (makes|scores)", title)]
    assert titles == [
        "G makes samples, for D to learn from",
        "D scores real samples, and learns",
        "D scores generated samples, and learns",
        "G makes samples",
        "D scores G's samples; its gradient with respect to them is what G learns from",
    ]
    assert [row.layer for row in trace.passes[1].rows] == [
        *("0 Conv2d", "1 ReLU", "2 Conv2d", "3 BatchNorm", "4 LeakyReLU", "5 Linear")
    ]
    normalised = trace.passes[1].rows[3]
    assert normalised.mean == pytest.approx(0.0, abs=1e-6)
    assert normalised.std == pytest.approx(1.0, abs=1e-2)
    assert all(row.gradient > 0.0 and row.update > 0.0 for row in trace.moved)
    assert {"D 3.gamma", "G 4.beta"} < {row.name for row in trace.moved}
    assert "-0.0000" not in text


def test_the_trace_of_a_dcgan_fits_80_columns():
    row = LayerRow("6 ConvTranspose2d", (128, 12544), -1e-9, 0.3, 0.5, 0.0, 128, -7.87e-14, 6.56e-5)
    trace = trace_step(gan_of_images(), mg.Images(mg.load_images("digits").train))
    passes = (PassTrace("G", [row]),)
    text = str(dataclasses.replace(trace, passes=passes))
    assert "128 x 12544  +0.0000" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_bias_that_batch_normalisation_subtracts_is_named():
    images = mg.Images(mg.load_images("digits").train)
    trace = trace_step(gan_of_images(mg.SGD), images)
    (bias,) = (row for row in trace.moved if row.name == "G 3.bias")
    assert bias.cancelled
    assert bias.gradient < 1e-5  # rounding, so it hardly moves, which is said once
    assert bias.ratio < 1e-6
    # Linear's has a number for each pixel, of which BatchNorm subtracts the mean alone
    assert [row.name for row in trace.moved if row.cancelled] == ["G 3.bias"]
    said = "\n".join(trace.remarks())
    assert said.count("G 3.bias") == 1
    assert "G 3.bias: without effect, since BatchNorm subtracts the mean" in said
    assert "without effect" not in "\n".join(trace_step(gan_of(), mg.Gaussian()).remarks())


def test_what_begins_at_zero_is_no_large_update():
    """After the first step, a beta is as large as the step."""
    gan = gan_of_images()
    images = mg.Images(mg.load_images("digits").train)
    images.next_batch(out=gan.real)
    gan.step()
    trace = trace_step(gan, images)
    (beta,) = (row for row in trace.moved if row.name == "D 3.beta")
    assert beta.ratio > 0.1
    assert "one step moved it" not in str(trace)


def test_a_run_on_images_with_convolutions_is_explained(tmp_path, capsys):
    data = mg.Images(mg.load_images("digits").train, dataset="digits")
    out = tmp_path / "run"
    mg.Trainer(gan_of_images(average=0.9), data, out, batch=16, progress=False).fit(steps=3)
    capsys.readouterr()
    assert main(["explain", str(out)]) == 0
    text = capsys.readouterr().out
    assert "step 4, the next of its training" in text
    assert "  3 ConvTranspose2d  16 x 384" in text
    assert max(len(line) for line in text.splitlines()[1:]) <= 80


def test_data_that_do_not_fit_are_refused():
    with pytest.raises(mg.ShapeError, match="the data have 3 features"):
        trace_step(gan_of(), mg.Samples(np.ones((20, 3))))


def test_trouble_is_named():
    gan = gan_of()
    G, D = gan.generator.parameters, gan.discriminator.parameters
    G.named()["0.bias"][:] = -100.0  # every unit of the ReLU is off
    D.named()["3.bias"][:] = 100.0  # the sigmoid is saturated
    gan.generator_optimizer.lr = 0.0
    text = "\n".join(trace_step(gan, mg.Gaussian()).remarks())
    assert "G, 1 ReLU: 100% of its units are flat" in text
    assert "D in its half, 4 Sigmoid: 100% of its units are flat" in text
    assert "D in its half: the gradient fades" in text
    assert "G does not learn" in text


def sure_gan(loss: mg.Loss) -> mg.GAN:
    """One whose D is sure that G's samples, all below 0, are not real."""
    last = (mg.Sigmoid(),) if loss.output == "probability" else ()
    G = mg.Sequential(mg.Linear(1, 4), mg.Tanh(), mg.Linear(4, 1), name="generator")
    D = mg.Sequential(mg.Linear(1, 1), *last, name="discriminator")
    G.parameters.named()["2.bias"][:] = -8.0
    D.parameters.named()["0.weight"][:] = 1.0
    D.parameters.named()["0.bias"][:] = 0.0
    gan = mg.GAN(G, D, mg.Uniform(0, 1, dim=1), loss)
    gan.bind(16)
    return gan


@pytest.mark.parametrize("probabilities", [False, True])
def test_a_generator_without_a_gradient_is_distinguished_from_one_with(probabilities):
    silent = trace_step(sure_gan(mg.Minimax(probabilities=probabilities)), mg.Gaussian())
    heard = trace_step(sure_gan(mg.NonSaturating(probabilities=probabilities)), mg.Gaussian())
    assert silent.message < 0.002
    assert heard.message == pytest.approx(1.0, abs=0.002)
    assert "silences G" in "\n".join(silent.remarks())
    # Nothing of a saturated sigmoid at the end, too: its slope cancels.
    (remark,) = heard.remarks()
    assert "samples are far from the data: mean -" in remark
    least_squares = trace_step(sure_gan(mg.LeastSquares()), mg.Gaussian())
    assert least_squares.message is None


def test_a_population_or_an_unbound_gan_is_refused():
    bound = gan_of()
    gan = mg.GAN(bound.generator, bound.discriminator, mg.Uniform(-1, 1, dim=2))
    with pytest.raises(ConfigError, match="bind"):
        trace_step(gan, mg.Gaussian())
    nets = [
        mg.Sequential(mg.Linear(1, 4), mg.ELU(), mg.Linear(4, 1), seed=[1, 2], name=name)
        for name in ("g", "d")
    ]
    gan = mg.GAN(*nets, mg.Uniform(0, 1, dim=1))
    gan.bind(4)
    with pytest.raises(ConfigError, match="population"):
        trace_step(gan, mg.Gaussian(seed=[1, 2]))


@pytest.mark.parametrize("key", ["seed", "dtype", "dataset", "sha256"])
def test_a_run_that_does_not_describe_its_data_is_one_sentence(key, tmp_path, capsys):
    gan = gan_of_digits()
    data = mg.Images(mg.load_images("digits").train, dataset="digits")
    described = data.to_config()
    del described[key]
    data.to_config = lambda: described
    mg.Trainer(gan, data, out=tmp_path / "run", batch=16).fit(steps=1)
    capsys.readouterr()
    assert main(["explain", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.startswith("minigan explain: error: ")


def test_a_run_is_explained_and_left_as_it_is(tmp_path, capsys):
    gan = gan_of()
    out = tmp_path / "run"
    mg.Trainer(gan, mg.Gaussian(), out=out, batch=16, checkpoint_every=4).fit(steps=8)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    capsys.readouterr()
    for flags, step in (([], 9), (["--previous"], 5)):
        assert main(["explain", str(out), *flags]) == 0
        text = capsys.readouterr().out
        assert f"step {step}, the next of its training, with 16 real samples" in text
        assert "D scores real and generated samples" in text
        assert "What moved" in text
        assert max(len(line) for line in text.splitlines()[1:]) <= 80  # the first names a folder
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    mg.Trainer.resume(out).fit(steps=9)
    rows = mg.read_history(out / "history.csv")
    capsys.readouterr()
    assert rows[-1]["step"] == 9
    assert main(["explain", str(out), "--best", "--previous"]) == 2
    assert "choose one" in capsys.readouterr().err
    assert main(["explain", str(out), "--best"]) == 2  # it has no scores
    assert "best.safetensors" in capsys.readouterr().err


def test_a_lost_run_says_what_its_history_and_its_samples_show(tmp_path, monkeypatch, capsys):
    gan = gan_of()
    gan.generator.parameters.named()["2.bias"][:] = 40.0  # the data are around 4
    gan.generator_optimizer.lr = 0.0
    mg.Trainer(gan, mg.Gaussian(), tmp_path, batch=16, print_every=2, progress=False).fit(steps=8)
    rows = mg.read_history(tmp_path / "history.csv")
    rows = [{**row, "auc": 1.0, "g_grad": 1.0, "diversity": 0.1} for row in rows]
    (failure,) = mg.training.diagnose(rows)
    monkeypatch.setattr("minigan.cli.explain.read_history", lambda file: rows)
    assert main(["explain", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    look = " ".join(out.split("Worth a look")[1].split())
    assert f"{failure}: {failure.advice}" in look
    assert re.search(r"far from the data: mean 4\d.* and σ .*, of the real ones [34]", look)
    assert max(map(len, out.splitlines()[1:])) <= 80
    monkeypatch.setattr(
        "minigan.cli.explain.read_history", lambda file: [{**rows[0], "step": 9}] * 3
    )
    assert main(["explain", str(tmp_path)]) == 0
    assert "D saturated" not in capsys.readouterr().out  # rows of later steps do not count


def test_a_run_with_a_layer_that_is_not_here_is_reported(tmp_path, capsys):
    @dataclasses.dataclass(frozen=True)
    class Mine(mg.Tanh):
        pass

    G = mg.Sequential(mg.Linear(1, 2), Mine(), mg.Linear(2, 1), seed=1, name="generator")
    gan = mg.GAN(G, gan_of().discriminator, mg.Normal(dim=1))
    with mock.patch.dict(CLASSES["layer"]):
        mg.register(Mine)
        mg.Trainer(gan, mg.Gaussian(), out=tmp_path / "run", batch=16).fit(steps=1)
    capsys.readouterr()
    assert main(["explain", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert "there is no layer called 'Mine' here; a class of your own must be registered" in said
    with mock.patch.dict(CLASSES["layer"], {"Mine": Mine}):
        assert main(["explain", str(tmp_path / "run")]) == 0


def test_runs_on_images_and_on_samples_of_ones_own(tmp_path, capsys):
    X = np.random.default_rng(0).normal(size=(50, 1))
    mg.Trainer(gan_of(), mg.Samples(X), out=tmp_path / "own", batch=16).fit(steps=2)
    assert main(["explain", str(tmp_path / "own")]) == 2
    assert "not on images" in capsys.readouterr().err
    digits = mg.load_images("digits")
    gan = gan_of_digits()
    data = mg.Images(digits.train, dataset="digits")
    mg.Trainer(gan, data, out=tmp_path / "digits", batch=16).fit(steps=2)
    assert main(["explain", str(tmp_path / "digits")]) == 0
    assert "1 Tanh" in capsys.readouterr().out


def test_without_docstrings_there_are_no_formulas():
    """`python -OO` removes them: said in one sentence, not left out of the text."""
    command = [sys.executable, "-OO", "-m", "minigan", "explain", "ReLU"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == (
        "minigan explain: error: the formulas are in the docstrings: run Python without -OO"
    )
