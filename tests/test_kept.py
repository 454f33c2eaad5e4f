"""What a run keeps: a part that would be another one after a resume is refused when it starts.

And what a step has taken hold of: it cannot be exchanged, and a recorded step sees what changed.
"""

from __future__ import annotations

import copy
import dataclasses
import enum
import inspect
import itertools
import logging
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from additions import SmallWeights, SmallWeightsPass, Softsign
from test_additions import networks, start

import minigan as mg
from minigan.cli.main import main
from minigan.config import CLASSES
from minigan.gan.penalties import DriftPass
from minigan.lessons.user_code import load_module
from minigan.nn import LayerPass


@pytest.fixture(autouse=True)
def registry():
    """What a test registers is gone afterwards."""
    before = {kind: dict(classes) for kind, classes in CLASSES.items()}
    yield
    for kind, classes in before.items():
        CLASSES[kind].clear()
        CLASSES[kind].update(classes)


def gan(**parts: Any) -> mg.GAN:
    """A small GAN with some parts exchanged; an optimizer is a function of the parameters."""
    G, D = networks(in_g=parts.pop("in_g", ()))
    for role, net in (("generator", G), ("discriminator", D)):
        if f"{role}_optimizer" in parts:
            parts[f"{role}_optimizer"] = parts[f"{role}_optimizer"](net.parameters)
    kind = parts.pop("kind", mg.GAN)
    return kind(G, D, parts.pop("noise", mg.Normal(dim=2)), **parts)


class Mode(str, enum.Enum):
    FAST = "fast"


def parts_that_are_lost() -> dict[str, tuple[mg.GAN, str]]:
    """A GAN whose resumed run would be another one, and what the error names."""

    @mg.register
    class FactorAdam(mg.Adam):
        def __init__(self, parameters, lr=1e-3, factor=1.0, **settings):
            super().__init__(parameters, lr, **settings)
            self.factor = factor

    @mg.register
    class Shifted(mg.Normal):
        def __init__(self, dim=2, shift=0.0, **settings):
            super().__init__(dim=dim, **settings)
            object.__setattr__(self, "shift", shift)

    made = itertools.count()

    @mg.register
    class Counting(mg.Normal):
        def __init__(self, dim=2, **settings):
            super().__init__(dim=dim, **settings)
            object.__setattr__(self, "table", {"made": next(made)})

    @mg.register
    @dataclasses.dataclass(frozen=True)
    class Moded(mg.LeakyReLU):
        mode: Mode = Mode.FAST

    @mg.register
    class Doubling(mg.GAN):
        def __init__(self, generator, discriminator, noise, weight=1.0, **settings):
            super().__init__(generator, discriminator, noise, **settings)
            self.weight = 2 * weight

    @mg.register
    class Secretive(mg.SGD):
        def __init__(self, parameters, lr=0.1, **settings):
            super().__init__(parameters, lr, **settings)
            self.best = np.zeros_like(parameters.data)

    @mg.register
    class Nameless(mg.GAN):
        def __init__(self, *parts, **settings):
            super().__init__(*parts, **settings)

    @mg.register
    class MLP(mg.Sequential):
        def __init__(self, *widths, **settings):
            super().__init__(*(mg.Linear(*pair) for pair in itertools.pairwise(widths)), **settings)

    @mg.register
    class Twice(mg.GAN):
        def __init__(self, generator, discriminator, noise, again=(0.5, 1.0), **settings):
            super().__init__(generator, discriminator, noise, **settings)
            self.again = again

    mlp = mg.GAN(MLP(2, 3, 1, name="g"), networks()[1], mg.Normal(dim=2))
    return {
        "an optimizer's setting": (
            gan(generator_optimizer=lambda p: FactorAdam(p, factor=0.3)),
            "factor differs",
        ),
        "a noise's setting": (gan(noise=Shifted(shift=3.0)), "shift differs"),
        "a dictionary": (gan(noise=Counting()), "table differs"),
        "an enumeration": (gan(in_g=(Moded(0.1),)), "mode differs"),
        "a setting that grows": (gan(kind=Doubling, d_steps=2), "is read back from a file as"),
        "an array": (gan(discriminator_optimizer=Secretive), "the array best"),
        "arguments without names": (gan(kind=Nameless), r"by name, so it cannot have \*parts"),
        "a network of other arguments": (mlp, "MLP cannot be made of its own settings"),
        "a game's tuple": (gan(kind=Twice), "a file would change its again"),
    }


@pytest.mark.parametrize(
    "case",
    [
        *("an optimizer's setting", "a noise's setting", "an enumeration", "an array"),
        *("a setting that grows", "arguments without names", "a network of other arguments"),
        *("a game's tuple", "a dictionary"),
    ],
)
def test_a_part_that_a_file_would_change_is_refused_at_the_start(case, tmp_path):
    made, words = parts_that_are_lost()[case]
    with pytest.raises(mg.ConfigError, match=words) as error:
        start(made, tmp_path / "run")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_part_that_lacks_an_attribute_is_refused(tmp_path):
    noise = mg.Normal(dim=2)
    vars(noise).pop("mean")
    with pytest.raises((mg.ConfigError, AttributeError)):
        start(gan(noise=noise), tmp_path / "run")

    @mg.register
    class Extra(mg.Normal):
        def __init__(self, dim=2, **settings):
            super().__init__(dim=dim, **settings)
            object.__setattr__(self, "extra", 1.0)

    noise = Extra()
    vars(noise).pop("extra")
    with pytest.raises(mg.ConfigError, match="extra differs"):
        start(gan(noise=noise), tmp_path / "run")


def test_data_that_a_file_would_change_are_refused_at_the_start(tmp_path):
    @mg.register
    class Gapped(mg.Gaussian):
        def __init__(self, *, gap=0.0, **settings):
            super().__init__(**settings)
            self.gap = gap

    settings = {"batch": 8, "progress": False}
    with pytest.raises(mg.ConfigError, match="gap differs"):
        mg.Trainer(gan(), Gapped(gap=3.0), tmp_path / "run", **settings)
    mg.Trainer(gan(), Gapped(), tmp_path / "run", **settings)  # which comes back as it is


def test_a_source_of_given_samples_is_asked_for(tmp_path):
    @mg.register
    class Mine(mg.Samples):
        pass

    X = np.random.default_rng(0).normal(size=(30, 1)).astype("float32")
    mg.Trainer(gan(), Mine(X), tmp_path, batch=8, progress=False).fit(steps=3)
    with pytest.raises(mg.ConfigError, match=r"trained on Mine; pass them: resume\(..., data="):
        mg.Trainer.resume(tmp_path)
    mg.Trainer.resume(tmp_path, data=Mine(X), progress=False).fit(steps=5)


def test_a_source_without_its_sizes_is_refused(tmp_path):
    @mg.register
    class Bare(mg.DataSource):
        pass

    with pytest.raises(mg.ConfigError, match="Bare must have the attributes size and features"):
        mg.Trainer(gan(), Bare(), tmp_path, batch=8)


def test_a_game_may_have_more_parts(tmp_path):
    @mg.register
    class TwoNoises(mg.GAN):
        capturable = True

        def __init__(self, generator, discriminator, noise, other=None, **settings):
            super().__init__(generator, discriminator, noise, **settings)
            self.other = other

    made = gan(kind=TwoNoises, other=mg.Uniform(-1.0, 2.0, dim=3))
    start(made, tmp_path).fit(steps=5)
    assert mg.load_run(tmp_path).gan.other == mg.Uniform(-1.0, 2.0, dim=3)


# -- what a step has taken hold of -------------------------------------------------------


@pytest.mark.parametrize("name", ["real", "columns", "batch", "loss", "d_steps", "networks"])
def test_what_a_bound_step_holds_cannot_be_exchanged(name):
    made = gan()
    made.bind(8)
    before = getattr(made, name)
    with pytest.raises(mg.ConfigError, match=rf"^GAN\.{name} cannot be replaced; ") as error:
        setattr(made, name, 4 if name == "batch" else object())
    assert "\n" not in str(error.value)
    assert getattr(made, name) is before
    made.bind(4)  # and yet it can be bound again
    made.set_loss(mg.Minimax())
    made.step(np.ones((4, 1)))


def test_every_part_and_setting_of_a_game_is_among_those_that_cannot_be_exchanged():
    assert set(inspect.signature(mg.GAN).parameters) <= set(mg.GAN.fixed)
    assert {"networks", "optimizers", "streams", "records", "ops"} <= set(mg.GAN.fixed)


def test_roles_cannot_be_given_to_others():
    made = gan()
    for mapping in (made.networks, made.optimizers, made.streams):
        with pytest.raises(TypeError, match="does not support item assignment"):
            mapping[next(iter(mapping))] = None
    with pytest.raises(TypeError, match="does not support item assignment"):
        made.generator.streams[0] = None


def test_passes_in_a_list_are_found():
    """A layer in one of them cannot be recorded; the game itself promises rightly."""

    class Listing(mg.GAN):
        capturable = True

        def bind_step(self, batch):
            super().bind_step(batch)
            self.more = {"all": [self.discriminator.bind(batch)]}

        def play(self):
            super().play()
            bound = self.more["all"][0]
            bound.forward(self._real)

    for layer, recorded in ((Softsign(), False), (mg.Tanh(), True)):
        G = mg.Sequential(mg.Linear(2, 1), name="g")
        D = mg.Sequential(mg.Linear(1, 3), layer, mg.Linear(3, 1), name="d")
        made = Listing(G, D, mg.Normal(dim=2))
        made.bind(8)
        made.capture()
        for _ in range(3):
            made.step(np.ones((8, 1)))
        assert (made.recording.replay is not None) == recorded
        assert "more" in [title for title, _ in made.passes()]


class Hidden(LayerPass):
    """Keeps an array where the pass does not look."""

    capturable = True

    def __init__(self, binding):
        super().__init__(binding)
        self.kept = SimpleNamespace(slope=np.empty(self.Y.shape))

    def forward(self, X, train):
        self.ops.elu(X, 1.0, self.kept.slope, out=self.Y)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        self.ops.elu_backward(dY, self.kept.slope, out=self.dX)
        return self.dX


def test_an_array_in_an_object_is_not_cut():
    @dataclasses.dataclass(frozen=True)
    class HiddenELU(mg.Layer):
        def bind(self, binding):
            return Hidden(binding)

    def trained(layer):
        G = mg.Sequential(mg.Linear(2, 5), layer, mg.Linear(5, 1), name="g", dtype="float64")
        D = mg.Sequential(mg.Linear(1, 4), mg.Tanh(), mg.Linear(4, 1), name="d", dtype="float64")
        made = mg.GAN(G, D, mg.Normal(dim=2))
        for seed in range(3):
            made.step(np.random.default_rng(seed).normal(size=(6, 1)))
        assert made._together == isinstance(layer, mg.ELU)
        return G.parameters.data

    np.testing.assert_allclose(trained(HiddenELU()), trained(mg.ELU()), rtol=1e-12)


@pytest.mark.parametrize(
    ("old", "new"),
    [(np.float32(1), np.float32(0)), ([1.0], [0.0]), ({"k": 1.0}, {"k": 0.0}), (1.0, 0.0)],
    ids=["numpy", "list", "dict", "float"],
)
def test_any_setting_that_changed_is_recorded_again(old, new):
    class Scaled(mg.Normal):
        capturable = True

        def fill(self, ops, stream, out):
            super().fill(ops, stream, out)
            k = self.k["k"] if isinstance(self.k, dict) else self.k
            ops.scale(out, float(np.ravel(k)[0]), out=out)

    noise = Scaled(dim=2)
    object.__setattr__(noise, "k", old)
    made = gan(noise=noise)
    made.bind(8)
    made.capture()
    for _ in range(3):
        made.step(np.ones((8, 1)))
    assert made._z.any()
    replay = made.recording.replay
    made.capture()
    made.step(np.ones((8, 1)))
    assert made.recording.replay is replay  # nothing had changed
    if isinstance(old, (list, dict)):
        old.clear() if isinstance(old, dict) else old.pop()
        old.update(new) if isinstance(old, dict) else old.extend(new)  # in place
    else:
        object.__setattr__(noise, "k", new)
    made.capture()
    made.step(np.ones((8, 1)))
    assert not made._z.any()


def test_half_steps_see_the_real_samples_and_the_noise():
    made = gan(d_steps=2, fresh_real=True)
    made.bind(4)
    made.real[...] = 5.0
    made.discriminator_step()
    assert (made._samples[:4] == 5.0).all()
    made = gan(same_noise=True)
    made.bind(4)
    with pytest.raises(mg.OrderError, match="take that half first"):
        made.generator_step()
    made.real[...] = 5.0
    made.discriminator_step()
    made.generator_step()
    assert np.isfinite(made.generator.parameters.data).all()


# -- penalties, games, trainers ------------------------------------------------------------


def test_a_penalty_that_draws_goes_on_where_it_was(tmp_path):
    class NoisyPass(DriftPass):
        capturable = True

        def __init__(self, epsilon, update):
            super().__init__(epsilon, update)
            self.stream, self.noise = update.stream, self.ops.empty(self.dY.shape, "float32")

        def add_to_dY(self):
            super().add_to_dY()
            self.ops.fill_normal(self.stream, 0.0, 0.1, out=self.noise)
            self.ops.add(self.dY, self.noise, out=self.dY)

    @mg.register
    @dataclasses.dataclass(frozen=True)
    class Noisy(mg.Drift):
        def bind(self, update):
            return NoisyPass(self.epsilon, update)

    assert "stream/gan/penalty" not in gan().state()[1]
    start(gan(penalty=Noisy()), tmp_path / "straight").fit(steps=30)
    start(gan(penalty=Noisy()), tmp_path / "stopped").fit(steps=10)
    mg.Trainer.resume(tmp_path / "stopped", progress=False).fit(steps=30)
    one, other = (tmp_path / name / "checkpoint.safetensors" for name in ("straight", "stopped"))
    assert one.read_bytes() == other.read_bytes()


def test_a_penalty_without_losses_of_its_own():
    @dataclasses.dataclass(frozen=True)
    class Silent(SmallWeights):
        columns: ClassVar = {}

    made, told = gan(penalty=Silent()), gan(penalty=SmallWeights())
    for _ in range(70):
        for one in (made, told):
            one.step(np.ones((4, 1)))
    losses = told.losses()
    assert losses.pop("weights") > 0.0
    assert made.losses() == losses
    np.testing.assert_array_equal(made.generator.parameters.data, told.generator.parameters.data)


def test_a_game_makes_all_its_losses_or_cannot_be_bound():
    class Four(mg.GAN):
        columns: ClassVar = {**mg.GAN.columns, "extra": "nothing"}

        def keep(self, arrays, formula, columns=None):
            super().keep(arrays, formula, 3)

    made = gan(kind=Four)
    with pytest.raises(mg.ConfigError, match="keeps 3 losses; the columns are d_real, d_fake, g,"):
        made.bind(4)
    assert made.batch == 0
    assert not hasattr(made, "_both")


def test_what_init_and_bind_step_both_set_is_bound_again():
    class Two(mg.GAN):
        extra = None

        def __init__(self, *args, **settings):
            self.extra = None
            super().__init__(*args, **settings)

        def bind_step(self, batch):
            super().bind_step(batch)
            if batch > 4:
                self.extra = self.discriminator.bind(batch)

    made = gan(kind=Two)
    made.step(np.ones((8, 1)))
    twin = copy.deepcopy(made)
    assert twin.extra.net is twin.discriminator is not made.discriminator
    made.bind(4)
    assert made.extra is None
    with pytest.raises(mg.ConfigError, match="a pass cannot be copied"):
        copy.deepcopy(twin.extra)


def test_a_run_does_not_go_on_with_another_batch(tmp_path):
    trainer = start(gan(), tmp_path)
    trainer.every(1, "row", lambda t: t.gan.bind(4))
    with pytest.raises(mg.ConfigError, match="to a batch of 4 during the run, whose batch is 8"):
        trainer.fit(steps=40)
    mg.Trainer.resume(tmp_path, progress=False).fit(steps=40)


def test_a_rollback_says_that_it_brought_the_loss_back(tmp_path, caplog):
    trainer = start(gan(), tmp_path)
    vars(trainer)["on_nan"] = "rollback"
    trainer.fit(steps=10)
    trainer.gan.set_loss(mg.LeastSquares())
    trainer.gan.generator.parameters.data[0] = np.nan
    with caplog.at_level(logging.WARNING), np.errstate(all="ignore"):
        trainer.fit(steps=20)
        assert trainer.gan.loss == mg.NonSaturating()
        assert "with half the learning rates and its loss, NonSaturating(" in caplog.text
        caplog.clear()
        trainer.gan.generator.parameters.data[0] = np.nan
        trainer.fit(steps=40)
    assert "with half the learning rates (2 of 3)" in caplog.text  # the loss was no other


def test_a_checkpoint_whose_loss_does_not_fit_changes_nothing(tmp_path):
    from minigan.training.checkpoint import load_checkpoint, save_checkpoint

    start(gan(), tmp_path).fit(steps=10)
    path = tmp_path / "checkpoint.safetensors"
    checkpoint = load_checkpoint(path)
    wrong = mg.NonSaturating(probabilities=True).to_config()
    save_checkpoint(path, checkpoint.tensors, {**checkpoint.metadata, "loss": wrong})
    from minigan.training.run import restore

    made = gan()
    before = made.generator.parameters.data.copy()
    with pytest.raises(mg.CheckpointError, match="a loss that does not fit"):
        restore(made, path, load_checkpoint(path))
    np.testing.assert_array_equal(made.generator.parameters.data, before)
    assert made.loss == mg.NonSaturating()


def test_a_penalty_pass_is_one_of_the_parts_of_a_step():
    made = gan(penalty=SmallWeights())
    made.bind(4)
    assert any(isinstance(part, SmallWeightsPass) for part, _ in made.recording.parts)


# -- what new users met ----------------------------------------------------------------------


class Remembering(mg.GAN):
    """D sees the generated samples of the step before: an array that outlives a step."""

    capturable = True

    def bind_step(self, batch):
        super().bind_step(batch)
        self.old = self.ops.zeros((batch, 1), self.generator.dtype)

    def buffers(self):
        return {"old": self.old}

    def play(self):
        self.take_real(0)
        self._generate_for_discriminator()
        self.ops.copy(self.old, out=self._samples[self.batch : 2 * self.batch])
        self.update_discriminator()
        self._generate_for_generator()
        self.ops.copy(self._fake, out=self.old)
        self.update_generator()


def test_what_outlives_a_step_of_a_game_is_kept(tmp_path):
    mg.register(Remembering)
    start(gan(kind=Remembering), tmp_path / "straight").fit(steps=30)
    start(gan(kind=Remembering), tmp_path / "stopped").fit(steps=10)
    mg.Trainer.resume(tmp_path / "stopped", progress=False).fit(steps=30)
    one, other = (tmp_path / name / "checkpoint.safetensors" for name in ("straight", "stopped"))
    assert one.read_bytes() == other.read_bytes()
    loaded = mg.load_run(tmp_path / "stopped").gan
    assert loaded.batch == 8
    assert loaded.old.any()
    twin = copy.deepcopy(loaded)
    np.testing.assert_array_equal(twin.old, loaded.old)
    assert not np.shares_memory(twin.old, loaded.old)
    loaded.set_loss(mg.Minimax())  # which binds the step again
    np.testing.assert_array_equal(twin.old, loaded.old)


def test_a_copy_is_bound_from_what_was_there_before():
    class Chain(mg.GAN):
        sizes: tuple[int, ...] = ()

        def bind_step(self, batch):
            super().bind_step(batch)
            self.sizes = (*self.sizes, batch)

    made = gan(kind=Chain)
    made.sizes = (2,)
    made.bind(4)
    assert copy.deepcopy(made).sizes == made.sizes == (2, 4)


def test_a_column_that_is_never_written_is_noticed():
    class Two(SmallWeightsPass):
        def values(self, kept, out):
            super().values(kept, out[:, :1])

    @dataclasses.dataclass(frozen=True)
    class TwoColumns(SmallWeights):
        columns: ClassVar = {"weights": "D", "more": "the penalty"}

        def bind(self, update):
            return Two(self.weight, update.D)

    made = gan(penalty=TwoColumns())
    made.step(np.ones((4, 1)))
    with pytest.raises(mg.NonFiniteError, match="step 1: the loss more is no longer finite"):
        made.losses()


def test_a_game_that_forgets_where_its_data_go():
    class Forgetful(mg.GAN):
        def bind_step(self, batch):
            super().bind_step(batch)
            del vars(self)["real"]

    made = gan(kind=Forgetful)
    with pytest.raises(mg.ConfigError, match=r"Forgetful: bind_step must set self\.real"):
        made.bind(4)


def test_a_layer_writes_its_first_parameters_into_their_views():
    class Replacing(mg.Linear):
        def initialise(self, ops, stream, tensors):
            tensors["weight"] = np.ones((2, 3))

    with pytest.raises(TypeError, match="does not support item assignment"):
        mg.Sequential(Replacing(2, 3))


def test_an_optimizer_need_not_have_a_decay(tmp_path):
    @mg.register
    class Signs(mg.Optimizer):
        def __init__(self, parameters, lr):
            super().__init__(parameters, lr)

        def update(self):
            self.parameters.data -= self.rate * np.sign(self.parameters.grad)

    start(gan(generator_optimizer=lambda p: Signs(p, 1e-3)), tmp_path).fit(steps=10)
    mg.Trainer.resume(tmp_path, progress=False).fit(steps=20)


MINE = """
from dataclasses import dataclass

import minigan as mg


@mg.register
@dataclass(frozen=True)
class Shift(mg.Layer):
    def bind(self, binding):
        return ShiftPass(binding)


class ShiftPass(mg.LayerPass):
    def forward(self, X, train):
        self.Y[...] = X + 1
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        self.dX[...] = dY
        return self.dX
"""


@pytest.mark.parametrize("command", ["show", "explain"])
def test_the_command_knows_classes_from_a_file(command, tmp_path, capsys):
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    module = load_module(tmp_path / "mine.py")
    start(gan(in_g=(module.Shift(),)), tmp_path / "run").fit(steps=10)
    del CLASSES["layer"]["Shift"]
    assert main([command, str(tmp_path / "run")]) == 2
    assert "minigan --import FILE.py" in capsys.readouterr().err
    flags = ["--import", str(tmp_path / "mine.py")]
    assert main([*flags, command, str(tmp_path / "run")]) == 0
    assert "Shift" in capsys.readouterr().out
    assert main(["--import", str(tmp_path / "none.py"), command, str(tmp_path / "run")]) == 2
    assert "there is no file" in capsys.readouterr().err
