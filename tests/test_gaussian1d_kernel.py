"""The kernel of the 1-D experiment takes the steps that GAN.step takes, on NumPy.

It runs here on a stand-in for CuPy, which compiles the CUDA source as C++ for the CPU, and on a
card with `pytest -m gpu`.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from typing import Any

import numpy as np
import pytest
from stand_in import Fault

import minigan as mg
from examples import gaussian1d
from minigan.backend import get_backend
from minigan.backend.cuda import sources
from minigan.errors import ConfigError
from minigan.training.fused import FusedTraining, form, fused_training, memory
from minigan.training.fused.memory import plan

# -- GANs of the kernel's form --------------------------------------------------------------


SQUARED = mg.LeastSquares()
UNIFORM = mg.Uniform(0, 1, dim=1)
LEAKY = mg.LeakyReLU(0.2)


@dataclasses.dataclass(frozen=True)
class Case:
    """A GAN and its data; the defaults are small."""

    hidden: int = 8
    batch: int = 12
    pack: mg.Layer | None = None
    activation: mg.Layer = LEAKY
    loss: mg.Loss = SQUARED
    alpha: float = 1.0  # of G's ELU
    noise: mg.Uniform = UNIFORM
    g_adam: dict[str, Any] = dataclasses.field(default_factory=dict)
    d_adam: dict[str, Any] = dataclasses.field(default_factory=dict)
    average: float | None = None
    same_noise: bool = False
    dtype: str = "float64"

    def build(self, device: str) -> tuple[mg.GAN, mg.Gaussian]:
        H, pack = self.hidden, () if self.pack is None else (self.pack,)
        features = pack[0].output_shape((pack[0].size, 1))[1] if pack else 1
        layers = (mg.Linear(1, H), mg.ELU(self.alpha), mg.Linear(H, H), mg.Sigmoid())
        G = mg.Sequential(
            *(*layers, mg.Linear(H, 1)), name="generator", device=device, dtype=self.dtype
        )
        D = mg.Sequential(
            *(*pack, mg.Linear(features, H), self.activation),
            *(mg.Linear(H, H), self.activation, mg.Linear(H, 1)),
            *([mg.Sigmoid()] if self.loss.output == "probability" else []),
            name="discriminator",
            device=device,
            dtype=self.dtype,
        )
        gan = mg.GAN(
            G,
            D,
            self.noise,
            self.loss,
            mg.Adam(G.parameters, **{"lr": 2e-3, **self.g_adam}),
            mg.Adam(D.parameters, **{"lr": 1e-3, **self.d_adam}),
            average=self.average,
            same_noise=self.same_noise,
        )
        gan.bind(self.batch)
        return gan, mg.Gaussian(4.0, 1.25, device=device)


CASES = {
    "packs": Case(
        pack=mg.Pack(4),
        activation=mg.ELU(),
        loss=mg.NonSaturating(0.95, generator_target=0.9, probabilities=True),
    ),
    "packs without deviations, in every other way different": Case(
        hidden=5,
        batch=15,
        pack=mg.Pack(3, deviations=False),
        activation=mg.ELU(0.7),
        loss=mg.Minimax(fake_target=0.1),
        alpha=1.3,
        noise=mg.Uniform(-1, 2, dim=1),
        g_adam={"weight_decay": 0.1, "eps": 1e-3},
        average=0.5,
        same_noise=True,
    ),
    "many packs": Case(
        batch=64,
        pack=mg.Pack(2),
        g_adam={"betas": (0.0, 0.99), "decay": mg.LinearDecay(end=12, start=4, final=0.5)},
        average=0.9,
    ),
    "few samples": Case(hidden=4, batch=7, loss=mg.NonSaturating()),
    "samples": Case(
        hidden=11,
        batch=9,
        d_adam={"betas": (0.0, 0.9), "decay": mg.LinearDecay(end=15)},
        same_noise=True,
    ),
}


def example(name: str, device: str) -> tuple[mg.GAN, mg.Gaussian]:
    recipe = gaussian1d.RECIPES[name]
    gan, data = gaussian1d.build(recipe, device=device)
    gan.bind(recipe.batch)
    return gan, data


def build(name: str, device: str) -> tuple[mg.GAN, mg.Gaussian]:
    return CASES[name].build(device) if name in CASES else example(name, device)


def steps(gan: mg.GAN, data: mg.Gaussian, count: int) -> None:
    for _ in range(count):
        data.next_batch(out=gan.real)
        gan.step()


def difference(gan: mg.GAN, twin: mg.GAN) -> float:
    """Of two states: the largest one, relative to the largest number of its tensor."""
    (tensors, counters), (others, other_counters) = gan.state(), twin.state()
    assert counters == other_counters
    assert tensors.keys() == others.keys()
    largest = 0.0
    for name, tensor in tensors.items():
        ours, theirs = gan.ops.to_host(tensor), twin.ops.to_host(others[name])
        assert np.isfinite(ours).all()
        if not np.isfinite(theirs).all():
            return np.inf
        scale = np.abs(ours).max()
        largest = max(largest, float(np.abs(ours - theirs).max() / (scale if scale else 1.0)))
    return largest


#: Adam's sums, which have a place in shared memory if there is room.
SUMS = ("g_g_sum", "g_g2_sum", "d_g_sum", "d_g2_sum")


# -- it takes the same steps ----------------------------------------------------------------


@pytest.mark.parametrize("name", [*gaussian1d.RECIPES, *CASES])
def test_it_takes_the_steps_that_the_gan_takes(name, cuda):
    gan, data = build(name, "cpu")
    twin, its_data = build(name, "cuda")
    near = 1e-9 if twin.generator.dtype == "float64" else 1e-4
    training = FusedTraining(twin, its_data)

    steps(gan, data, 22)
    steps(twin, its_data, 1)  # its losses are still to be computed
    training.run(7)
    training.run(0)
    training.run(13)
    steps(twin, its_data, 1)

    assert difference(gan, twin) < near
    assert its_data.state() == data.state()
    losses, twins = gan.losses(), twin.losses()
    assert twins == pytest.approx(losses, rel=near)
    for mine, theirs in (
        (gan.generator_optimizer, twin.generator_optimizer),
        (gan.discriminator_optimizer, twin.discriminator_optimizer),
    ):
        assert theirs.step_count == mine.step_count == 22
        assert theirs.rate == pytest.approx(mine.rate, rel=1e-15)
    assert twin.ops.to_host(twin.sample(5)) == pytest.approx(gan.sample(5), rel=1e-3)


def test_the_cases_take_every_way_through_the_kernel():
    def of(name: str) -> dict[str, int]:
        gan = build(name, "cpu")[0]
        return plan(gan, gan.batch)

    everything = [of(name) for name in (*gaussian1d.RECIPES, *CASES)]
    for field in ("activation", "few", "deviations"):
        assert {sizes[field] for sizes in everything} == {0, 1}, field
    assert {sizes["loss"] for sizes in everything} == {0, 1, 2}
    assert {sizes["noises"] // sizes["batch"] for sizes in everything} == {1, 2}
    # Adam's sums in shared memory, in global memory, and some here and some there
    there = [[bool(sizes[name]) for name in SUMS] for sizes in everything]
    assert [True] * 4 in there
    assert [False] * 4 in there
    assert [True, True, False, False] in there
    assert {sizes["pack_gradients"] == sizes["d_second"] for sizes in everything} == {True, False}


def test_two_runs_are_the_same_to_the_bit(cuda):
    first, data = build("stable", "cuda")
    second, its_data = build("stable", "cuda")
    FusedTraining(first, data).run(5)  # on the stand-in, threads go in the other order
    FusedTraining(second, its_data).run(5)
    assert difference(first, second) == 0.0


def test_a_change_between_two_launches_counts(cuda):
    gan, data = build("many packs", "cpu")
    twin, its_data = build("many packs", "cuda")
    training = FusedTraining(twin, its_data)
    steps(gan, data, 2)
    training.run(2)
    for one in (gan, twin):
        one.generator_optimizer.lr = 0.01
        one.set_loss(mg.NonSaturating(0.8))
        one.streams["generator_noise"].position = 100
        one.bind(16)
    steps(gan, data, 3)
    training.run(3)
    assert difference(gan, twin) < 1e-9


def test_a_loss_that_is_not_finite_is_found_at_its_step(cuda):
    gan, data = build("samples", "cuda")
    training = FusedTraining(gan, data)
    training.run(3)
    weights = gan.ops.to_host(gan.generator.parameters.data)
    weights[0] = np.nan
    gan.ops.copy(gan.ops.from_host(weights, "float64"), out=gan.generator.parameters.data)
    training.run(4)
    with pytest.raises(mg.NonFiniteError, match="step 4: the loss d_fake"):
        gan.check_finite()


# -- faults of the source are found -----------------------------------------------------------

FAULTS = {
    "a wrong target": ("row < P ? real_target", "row < P ? fake_target"),
    "a barrier too few, before Adam": (
        "f, h2, D.second.W, h1, dh1, n.few ? n.room : 0);\n    __syncthreads();",
        "f, h2, D.second.W, h1, dh1, n.few ? n.room : 0);",
    ),
    "a step's numbers drawn twice": ("step + 1, n, s, streams", "step, n, s, streams"),
}


@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_faults_are_found(right, wrong, monkeypatch, cupy):
    get_backend("cuda")

    def broken(*names: str) -> str:
        text = sources.source(*names)
        assert text.count(right) == 1
        return text.replace(right, wrong)

    launching = importlib.import_module("minigan.backend.cuda.launching")
    monkeypatch.setattr(launching, "source", broken)
    gan, data = build("packs", "cpu")
    twin, its_data = build("packs", "cuda")
    steps(gan, data, 4)
    training = FusedTraining(twin, its_data)
    try:
        training.run(2)
        training.run(2)
    except Fault:
        return
    assert difference(gan, twin) > 1e-6


# -- which GANs it can train --------------------------------------------------------------------


def test_the_sizes_are_those_of_the_source():
    gan, _ = build("packs", "cpu")
    fields = sources.struct_fields("gaussian1d", "Sizes")
    assert {*fields, "threads"} == plan(gan, gan.batch).keys()
    text = sources.source(*sources.MODULES["gaussian1d"])
    threads = re.search(r"THREADS = sizeof\(real\) == 4 \? (\d+) : (\d+);", text)
    assert threads is not None
    assert [int(n) for n in threads.groups()] == list(memory.THREADS.values())
    for kinds in (form.TERMS, {"elu": 0, "leaky_relu": 1}):
        names = [name.upper() for name, _ in sorted(kinds.items(), key=lambda item: item[1])]
        assert f"enum {{ {', '.join(names)}" in text


def test_it_says_what_it_can_not_train(cuda):
    class OtherELU(mg.ELU):
        pass

    H, E, S, L = mg.Linear(8, 8), mg.ELU(), mg.Sigmoid(), LEAKY
    first, last = mg.Linear(1, 8), mg.Linear(8, 1)
    data = mg.Gaussian(device="cuda")

    def gan(G=(first, E, H, S, last), D=(first, L, H, L, last), noise=UNIFORM, **options):
        G = mg.Sequential(*G, name="generator", device="cuda", **options.pop("net", {}))
        D = mg.Sequential(
            *D, name="discriminator", device="cuda", dtype=G.dtype, seed=options.get("seed", 0)
        )
        for role, net in (("generator", G), ("discriminator", D)):
            if role in options:
                options[f"{role}_optimizer"] = options.pop(role)(net.parameters)
        return mg.GAN(G, D, noise, **options)

    def fits(gan, data=data, batch=12):
        gan.bind(batch)
        return fused_training(gan, data) is not None

    assert fits(gan())
    assert not fits(CASES["packs"].build("cpu")[0])
    assert not fits(gan(net={"seed": [0, 1]}, seed=[0, 1]))
    assert not fits(gan(), mg.Samples(np.ones((9, 1)), device="cuda"))
    assert not fits(gan(), mg.Gaussian())
    assert not fits(gan(), mg.Gaussian(seed=[1, 2], device="cuda"))
    assert not fits(gan(noise=mg.Normal(0, 1, dim=1)))
    held = gan()
    held.bind(12)
    held.step(np.ones((12, 1)))
    held.passes()[0][1].hold(True)
    assert not fits(held)
    assert not fits(gan(d_steps=2))
    assert not fits(gan(g_steps=2))
    assert not fits(gan(generator=lambda p: mg.SGD(p, 0.1)))
    assert not fits(gan(discriminator=lambda p: mg.SGD(p, 0.1)))
    for G in (
        (first, E, H, E, last),
        (first, L, H, S, last),
        (first, OtherELU(), H, S, last),
        (first, E, mg.Linear(8, 8, bias=False), S, last),
        (first, E, mg.Linear(8, 9), S, mg.Linear(9, 1)),
        (first, E, H, S, last, E),
        (first, E, last),
        (mg.Linear(1, 1),),
    ):
        assert not fits(gan(G=G)), G
    for D in (
        (first, L, H, E, last),
        (first, L, H, mg.LeakyReLU(0.1), last),
        (first, S, H, S, last),
        (mg.Linear(1, 9), L, mg.Linear(9, 9), L, mg.Linear(9, 1)),
        (mg.Pack(2), mg.Pack(2), mg.Linear(16, 8), L, H, L, last),
        (first, last),
        (mg.Linear(1, 1),),
    ):
        assert not fits(gan(D=D)), D
    assert not fits(gan(D=(first, L, H, L, last, S), loss=SQUARED))
    packed = gan(D=(mg.Pack(4), mg.Linear(8, 8), L, H, L, last))
    assert fits(packed)
    assert not fits(gan(), batch=3)
    assert not fits(gan(), batch=5000)

    article = example("article", "cuda")[0].to_config()
    for role in ("generator", "discriminator"):
        article[role]["dtype"] = "float64"
    assert not fits(mg.GAN.from_config(article, device="cuda"), batch=100)


def test_it_refuses_what_it_can_not_train(cuda):
    gan, _ = build("packs", "cuda")
    with pytest.raises(ConfigError, match="can't train this GAN"):
        FusedTraining(gan, mg.Gaussian())
    training = FusedTraining(gan, mg.Gaussian(device="cuda"))
    gan.set_loss(SQUARED)  # D ends in a Sigmoid
    with pytest.raises(ConfigError, match="can't train this GAN"):
        training.run(1)
    assert gan.step_count == 0


@pytest.mark.parametrize("name", [*gaussian1d.RECIPES, *CASES])
def test_pieces_of_shared_memory_overlap_only_where_they_may(name):
    gan, _ = build(name, "cpu")
    at = plan(gan, gan.batch)
    S, SF, B, R = at["stride"], at["wide"], at["batch"], at["noises"]
    P, packs = B // at["pack"], (B + R) // at["pack"]
    needed = {
        "g_weights": (4 + S + 1) * S,
        "d_weights": (SF + S + 1) * S,
        "numbers": 8,
        "noise": 4 * R,
        "samples": packs * SF,
        "means": packs * at["deviations"],
        "drawn": R + B,
        "output_gradients": max(2 * P, B),
        "pack_gradients": P * SF,
        "terms": 3 * P,
        "dots": max(R, 2 * P) * S // 4,
        "scratch": at["room"],
        "d_first": 2 * P * S,
        "d_second": 2 * P * S,
        "d_first_gradient": 2 * P * S,
        "g_first": R * S,
        "g_second": B * S,
        **dict.fromkeys(("g_g_sum", "g_g2_sum"), gan.generator.parameters.size),
        **dict.fromkeys(("d_g_sum", "d_g2_sum"), gan.discriminator.parameters.size),
    }
    fields = sources.struct_fields("gaussian1d", "Sizes")
    assert list(needed) == fields[fields.index("total") + 1 :]
    pieces = {
        name: (at[name], at[name] + size)
        for name, size in needed.items()
        if size and (at[name] or not name.endswith("_sum"))
    }
    if not at["few"]:
        assert pieces.pop("d_first_gradient") == pieces["d_first"]
    if at["pack_gradients"] == at["d_second"]:
        _, end = pieces.pop("pack_gradients")
        assert end <= pieces["d_second"][1]
    # G's rows of D's half may lie under what D needs later.
    start, end = pieces.pop("g_first")
    assert start >= at["d_first"]
    pieces["g_first"] = (start + (R - B) * S, end)

    assert all(start % 4 == 0 for start, _ in pieces.values())
    ends = [0]
    for start, end in sorted(pieces.values()):
        assert start >= ends[-1]
        ends.append(end)
    assert ends[-1] <= at["total"]
    itemsize = np.dtype(gan.generator.dtype).itemsize
    assert at["total"] * itemsize <= memory.SHARED_MEMORY
    assert at["room"] >= (at["hidden"] + 1) * S
