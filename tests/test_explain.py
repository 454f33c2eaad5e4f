"""The microscope: what it shows is what runs, and a wrong backward cannot hide from it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import minigan as mg
from minigan.backend import numpy_backend as ops
from minigan.cli.main import main
from minigan.errors import ConfigError
from minigan.lessons import SUBJECTS, explain, find_subject
from minigan.lessons.walk import walk
from minigan.nn.layers import LAYERS
from minigan.nn.layers.dropout import DropoutPass
from minigan.nn.layers.linear import LinearPass
from minigan.nn.layers.pack import PackPass

ROOT = Path(__file__).resolve().parent.parent
ROW = re.compile(
    r"^(\w+\[[\d, ]+\]|\d  p\[\d\]) .*?([+-][\d.]+|[+-]?nan)  +([+-][\d.]+)(  <-- WRONG)?$"
)
NAMES = [subject.name for subject in SUBJECTS]


def rows(text: str) -> list[tuple[str, str, str, bool]]:
    """The lines of a page that hold two columns of numbers: place, ours, theirs, marked."""
    found = [ROW.match(line) for line in text.splitlines()]
    return [(m[1], m[2], m[3], bool(m[4])) for m in found if m]


def test_every_layer_loss_and_optimizer_can_be_explained():
    losses = {"bce", "bce_with_logits", "mean_squared_error", "softmax_cross_entropy"}
    assert set(NAMES) == {*LAYERS, *losses, "SGD", "Adam"}
    for subject in SUBJECTS:
        assert (ROOT / subject.page).is_file(), subject.page
        if subject.exercise:
            assert (ROOT / "minigan" / "lessons" / "exercises" / subject.exercise).is_file()


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_both_columns_agree_to_the_printed_digits(name, seed):
    text, right = explain(find_subject(name), seed)
    assert right
    columns = rows(text)
    assert len(columns) >= 4
    for place, ours, theirs, marked in columns:
        assert ours == theirs, (place, ours, theirs)
        assert not marked
    assert re.search(r"All \d+ (agree to the printed digits|updates are those)", text)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_all_its_parts_and_prints_on_any_terminal(name):
    text, _ = explain(find_subject(name))
    parts = ["Formula", "Derivation, in brief", "Our code", "Live numbers"]
    places = [text.index(f"\n{part}") for part in parts]
    assert places == sorted(places)
    assert "def " in text
    assert text.isascii()
    assert max(len(line) for line in text.splitlines()) <= 100
    assert not any(line != line.rstrip() for line in text.splitlines())


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


FAULTS = [
    ("Linear", LinearPass, "backward", linear_without_transpose),
    ("ReLU", ops, "relu_backward", spoiled(ops.relu_backward)),
    ("LeakyReLU", ops, "leaky_relu_backward", spoiled(ops.leaky_relu_backward)),
    ("ELU", ops, "elu_backward", spoiled(ops.elu_backward)),
    ("Sigmoid", ops, "sigmoid_backward", spoiled(ops.sigmoid_backward)),
    ("Tanh", ops, "tanh_backward", spoiled(ops.tanh_backward)),
    ("Dropout", DropoutPass, "backward", dropout_with_a_new_mask),
    ("Pack", PackPass, "backward", pack_without_deviations),
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
        "softmax_cross_entropy",
        spoiled(ops.softmax_cross_entropy),
    ),
    ("SGD", ops, "sgd", lambda data, grad, velocity, clock, momentum: None),
    ("Adam", ops, "adam", lambda data, grad, *rest: np.subtract(data, 0.1 * grad, out=data)),
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
    assert re.search(rf"{len(marked)} of {len(columns)} (DISAGREE|updates differ)", text)


def test_a_gradient_that_is_no_number_is_marked(monkeypatch):
    def nan(dY, Y, out):
        out.fill(np.nan)

    monkeypatch.setattr(ops, "tanh_backward", nan)
    text, right = explain(find_subject("Tanh"))
    assert not right
    assert text.count("<-- WRONG") == 12


# -- the command --------------------------------------------------------------------------


def test_names_are_found_in_any_case(capsys):
    assert main(["explain", "linear"]) == 0
    assert capsys.readouterr().out.startswith("Linear\n")
    assert main(["explain"]) == 0
    assert all(name in capsys.readouterr().out for name in ["Pack"])


REFUSED = [
    (["Linaer"], "did you mean Linear?"),
    (["nothing"], "choose from Linear"),
    (["nowhere/run"], "nowhere/run holds no run"),
    (["none.py"], "there is no file none.py"),
    (["empty.py"], "defines no layer"),
    (["broken.py"], "line 1: ZeroDivisionError"),
    (["Linear", "--seed", "-1"], "must be an integer >= 0"),
]


@pytest.mark.parametrize(("arguments", "said"), REFUSED)
def test_what_cannot_be_explained_is_one_sentence(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "broken.py").write_text("1 / 0\n", encoding="utf-8")
    try:
        code = main(["explain", *arguments])
    except SystemExit as error:  # argparse
        code = error.code
    assert code == 2
    assert said in capsys.readouterr().err.replace("\\", "/")


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
    assert re.search(r"Square does not run: line \d+: ValueError", capsys.readouterr().err)


# -- a step of a run ----------------------------------------------------------------------


def gan_of(**settings) -> mg.GAN:
    G = mg.Sequential(mg.Linear(2, 8), mg.ReLU(), mg.Linear(8, 1), seed=1, name="generator")
    D = mg.Sequential(
        *(mg.Linear(1, 8), mg.LeakyReLU(0.2), mg.Dropout(0.3), mg.Linear(8, 6)),
        *(mg.Sigmoid(), mg.Linear(6, 1)),
        seed=1,
        name="discriminator",
    )
    gan = mg.GAN(G, D, mg.Uniform(-1, 1, dim=2), average=0.9, **settings)
    gan.bind(16)
    return gan


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
            seen = walk(gan, data)
        else:
            data.next_batch(out=gan.real)
            gan.step()
            losses = gan.losses()
    for name, tensor in watched.state()[0].items():
        np.testing.assert_array_equal(tensor, plain.state()[0][name], err_msg=name)
    assert watched.state()[1] == plain.state()[1]
    assert seen.losses == losses
    assert seen.step == 4
    for bound in watched.passes():  # nothing is left in the layers
        for layer in bound.layers:
            assert not {"forward", "backward"} & set(vars(layer))


def test_what_the_layers_saw_is_right():
    gan = gan_of(same_noise=True)
    data = mg.Gaussian()
    old = gan.discriminator.parameters.data.copy()
    seen = walk(gan, data)
    networks = [one.network for one in seen.passes]
    assert networks == ["G", "D in its half", "D as judge"]
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
    assert row.flat is None
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


def test_trouble_is_named():
    gan = gan_of()
    G, D = gan.generator.parameters, gan.discriminator.parameters
    G.named()["0.bias"][:] = -100.0  # every unit of the ReLU is off
    D.named()["3.bias"][:] = 100.0  # the sigmoid is saturated
    gan.generator_optimizer.lr = 0.0
    text = "\n".join(walk(gan, mg.Gaussian()).remarks())
    assert "G, 1 ReLU: 100% of its units are flat" in text
    assert "D in its half, 4 Sigmoid: 100% of its units are flat" in text
    assert "D in its half: the gradient fades" in text
    assert "G does not learn" in text


def test_a_population_or_an_unbound_gan_is_refused():
    gan = gan_of()
    gan.batch = 0
    with pytest.raises(ConfigError, match="bind"):
        walk(gan, mg.Gaussian())
    nets = [
        mg.Sequential(mg.Linear(1, 4), mg.ELU(), mg.Linear(4, 1), seed=[1, 2], name=name)
        for name in ("g", "d")
    ]
    gan = mg.GAN(*nets, mg.Uniform(0, 1, dim=1))
    gan.bind(4)
    with pytest.raises(ConfigError, match="population"):
        walk(gan, mg.Gaussian(seed=[1, 2]))


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
        assert "D judges real and generated samples" in text
        assert "What moved" in text
        assert max(len(line) for line in text.splitlines()[1:]) <= 100  # the first names a folder
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    mg.Trainer.resume(out).fit(steps=9)
    rows = mg.read_history(out / "history.csv")
    capsys.readouterr()
    assert rows[-1]["step"] == 9
    assert main(["explain", str(out), "--best", "--previous"]) == 2
    assert main(["explain", str(out), "--best"]) == 2  # it has no scores
    assert "best.safetensors" in capsys.readouterr().err


def test_runs_on_images_and_on_samples_of_ones_own(tmp_path, capsys):
    X = np.random.default_rng(0).normal(size=(50, 1))
    mg.Trainer(gan_of(), mg.Samples(X), out=tmp_path / "own", batch=16).fit(steps=2)
    assert main(["explain", str(tmp_path / "own")]) == 2
    assert "not on images" in capsys.readouterr().err
    digits = mg.load_images("digits")
    G = mg.Sequential(mg.Linear(4, 64), mg.Tanh(), seed=1, name="generator")
    D = mg.Sequential(mg.Linear(64, 1), seed=1, name="discriminator")
    gan = mg.GAN(G, D, mg.Normal(dim=4))
    data = mg.Images(digits.train, dataset="digits")
    mg.Trainer(gan, data, out=tmp_path / "digits", batch=16).fit(steps=2)
    assert main(["explain", str(tmp_path / "digits")]) == 0
    assert "1 Tanh" in capsys.readouterr().out
