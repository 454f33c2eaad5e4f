"""The trace of a step of a game with a condition: who is given what, and what meets in a trunk."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import minigan as mg
from minigan.cli.main import main
from minigan.lessons.layer_trace import PassTrace
from minigan.lessons.step_trace import trace_step

IMAGES = mg.load_images("digits")


def labelled() -> mg.Images:
    return mg.Images(IMAGES.train, labels=IMAGES.train_labels, dataset="digits")


def conditional() -> mg.ConditionalGAN:
    """The label appended in G, and a projection at the end of D."""
    G = mg.Sequential(
        *(mg.AppendCondition(4, 10), mg.Linear(14, 64), mg.Tanh()), seed=1, name="generator"
    )
    D = mg.Sequential(
        *(mg.Linear(64, 8), mg.LeakyReLU(0.2), mg.Projection(8, 10)), seed=1, name="discriminator"
    )
    gan = mg.ConditionalGAN(G, D, mg.Normal(dim=4))
    gan.bind(16)
    return gan


def infogan(*, mixing: bool = False, **settings) -> mg.InfoGAN:
    """Three categories and two codes; with `mixing` D has a BatchNorm, so that it runs twice."""
    G = mg.Sequential(
        *(mg.AppendCondition(4, 5), mg.Linear(9, 64), mg.Tanh()), seed=1, name="generator"
    )
    norm = (mg.BatchNorm(8),) if mixing else ()
    D = mg.Sequential(
        *(mg.Linear(64, 8), *norm, mg.LeakyReLU(0.2), mg.Linear(8, 1)),
        seed=1,
        name="discriminator",
    )
    Q = mg.Sequential(mg.Linear(8, 5), seed=1, name="recogniser")
    gan = mg.InfoGAN(G, D, Q, mg.Normal(dim=4), categories=3, **settings)
    gan.bind(16)
    return gan


def counts(one: PassTrace) -> list[int]:
    """How often each class is in the condition of a pass."""
    return [int(n) for n in re.search(r"in ([\d, ]+) rows", one.given)[1].split(", ")]


@pytest.mark.parametrize(
    "make",
    [conditional, infogan, lambda: infogan(mixing=True, d_steps=2, g_steps=2)],
    ids=["cGAN", "InfoGAN", "two passes"],
)
def test_the_step_is_the_one_that_training_takes(make):
    watched, plain = make(), make()
    seen = trace_step(watched, labelled())
    plain.read(labelled())
    plain.step()
    assert seen.losses == plain.losses()
    for name, tensor in watched.state()[0].items():
        np.testing.assert_array_equal(tensor, plain.state()[0][name], err_msg=name)
    assert max(map(len, str(seen).splitlines())) <= 80


def test_the_labels_of_the_real_samples_are_given_to_both_networks():
    gan = conditional()
    seen = trace_step(gan, labelled()).passes
    assert [one.title for one in seen] == ["G", "D in its half", "D in G's half"]
    labels = gan.labels.sum(axis=0)
    for one, halves in zip(seen, (2, 2, 1), strict=True):
        assert one.given.startswith("given labels 0 to 9, in ")
        np.testing.assert_array_equal(counts(one), halves * labels)


def test_codes_are_given_to_G_alone():
    seen = trace_step(infogan(), labelled()).passes
    given = {one.title: one.given for one in seen if one.given}
    assert [*given] == ["G"]
    assert sum(counts(seen[0])) == 32  # of both halves
    assert re.search(
        r"categories 0 to 2, .*; continuous codes of mean [+-]0\.\d\d and σ 0.\d", given["G"]
    )
    without = mg.InfoGAN(
        mg.Sequential(mg.AppendCondition(1, 2), mg.Linear(3, 64), name="g"),
        mg.Sequential(mg.Linear(64, 2), mg.Linear(2, 1), name="d"),
        mg.Sequential(mg.Linear(2, 2), name="q"),
        mg.Normal(dim=1),
        categories=2,
        continuous=0,
    )
    without.bind(4)
    assert "continuous" not in trace_step(without, labelled()).passes[0].given


def test_the_passes_of_an_infogan_are_shown_in_their_order():
    trace = trace_step(infogan(), labelled())
    assert [one.title for one in trace.passes] == [
        "G",
        *("D's trunk in D's half", "Q in D's half", "D's head in D's half"),
        *("D's trunk in G's half", "Q in G's half", "D's head in G's half"),
    ]
    assert [one.learns for one in trace.passes] == [True, True, False, True, False, True, False]
    assert [one.for_G for one in trace.passes] == [False] * 6 + [True]
    assert [row.layer for row in trace.passes[3].rows] == ["2 Linear"]  # as in D
    assert 0.4 < trace.message < 0.6  # of an undecided D
    titles = [line for line in str(trace).splitlines() if line.startswith("Q guesses")]
    assert titles == [
        "Q guesses the codes; only D's trunk learns from that, Q stays as it is",
        "Q guesses the codes; G learns from that, and so does Q",
    ]


def test_the_passes_of_a_consistency_are_shown_with_it():
    """And the gradients that meet are those of generated samples, as without it."""
    gan = infogan(consistency=mg.Consistency((1, 2), shift=1.0))
    trace = trace_step(gan, labelled())
    assert [one.title for one in trace.passes[3:8]] == [
        *("D's head in D's half", "Q on real images", "D's trunk on moved copies"),
        *("Q on moved copies", "D's trunk in G's half"),
    ]
    assert [one.learns for one in trace.passes[3:8]] == [True, False, True, True, False]
    assert [one.half for one in trace.meetings] == ["D's half", "G's half"]
    text = str(trace)
    assert "Q guesses the categories of the copies; it learns from them in G's half" in text
    assert "consistency " in text


def test_the_updates_are_those_of_D_then_G_then_Q():
    gan = infogan()
    trace = trace_step(gan, labelled())
    assert [*trace.rates] == ["D", "G", "Q"]
    assert "".join(dict.fromkeys(row.name[0] for row in trace.moved)) == "DGQ"
    rows = {row.name: row for row in trace.moved}
    dweight = gan.recogniser.parameters.named_grads()["0.weight"]
    assert rows["Q 0.weight"].gradient == pytest.approx(np.linalg.norm(dweight), rel=1e-6)
    assert rows["Q 0.weight"].update > 0.0


@pytest.mark.parametrize("mixing", [False, True])
def test_the_gradients_of_both_heads_meet_in_the_trunk(mixing):
    trace = trace_step(infogan(mixing=mixing), labelled())
    assert [(one.half, one.rows) for one in trace.meetings] == [("D's half", 16), ("G's half", 16)]
    for one in trace.meetings:
        squares = one.from_head**2 + one.from_q**2 + 2 * one.from_head * one.from_q * one.cosine
        assert one.both == pytest.approx(math.sqrt(squares), rel=1e-6)
        assert min(one.from_head, one.from_q) > 0.0
    trunks = [one for one in trace.passes if one.network == "D's trunk"]
    generated = trunks[-2:] if mixing else trunks[-1:]  # the trunks that get no real samples
    for trunk, meeting in zip(generated, trace.meetings[-len(generated) :], strict=True):
        assert trunk.rows[-1].grad_size == pytest.approx(meeting.both, rel=1e-5)
    if not mixing:  # the rows of real samples got what D's head sent, the others the sum
        of_D, head = trace.passes[1].rows[-1], np.asarray(trace.passes[3].dX)  # (32, 8)
        squares = 16 * (head[:16] ** 2).mean() + 16 * trace.meetings[0].both ** 2
        assert 32 * of_D.grad_size**2 == pytest.approx(squares, rel=1e-5)
    assert "from D's head   from Q  their sum  cosine" in str(trace)


def test_the_pass_of_real_samples_has_its_own_gradients():
    """Where D runs twice, backward runs for the real samples after both forwards."""
    trace = trace_step(infogan(mixing=True), labelled())
    real, head, generated = (trace.passes[i] for i in (1, 2, 3))
    assert [one.title for one in (real, head, generated)] == [
        *("D's trunk in D's half", "D's head in D's half", "D's trunk in D's half")
    ]
    sent = math.sqrt(float((head.dX**2).mean()))
    assert real.rows[-1].grad_size == pytest.approx(sent, rel=1e-5)  # from D's head alone
    assert generated.rows[-1].grad_size != pytest.approx(sent, rel=0.1)


@pytest.mark.parametrize("make", [conditional, infogan])
def test_a_run_is_explained(make, tmp_path, capsys):
    mg.Trainer(make(), labelled(), tmp_path / "run", batch=16, progress=False).fit(steps=2)
    capsys.readouterr()
    assert main(["explain", str(tmp_path / "run")]) == 0
    text = capsys.readouterr().out
    assert "step 3, the next of its training" in text
    assert "  given " in text
