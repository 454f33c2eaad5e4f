"""The games with a condition that can be explained, each with one tiny step.

The gradients are those that `game.step()` leaves in its networks, and differences are those of the
losses, which are written out here. The learning rates are 0, so all of it is at one point.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import minigan.nn as nn
from minigan.backend import Array, Stream
from minigan.gan import GAN, ConditionalGAN, Consistency, Game, InfoGAN, Normal
from minigan.gan.consistency import ConsistencyPass
from minigan.gan.two_heads import TwoHeads
from minigan.lessons.example_numbers import normal, tidy
from minigan.lessons.explanation import Sections, Topic, both_columns, grid
from minigan.lessons.quoted_code import source
from minigan.nn.differences import Differences, Evaluation
from minigan.nn.gradcheck import BothGradients, both_gradients, compare_function

BATCH, CATEGORIES, STD = 3, 2, 0.5
CODES: Mapping[str, Any] = {"categories": CATEGORIES, "continuous": 1, "std": STD}
#: A step's arrays by name, and the gradients of its players.
Shown = tuple[Mapping[str, Array], list[BothGradients]]


def network(*layers: nn.Layer, seed: int, name: str) -> nn.Sequential:
    """A network in float64 with parameters of one digit after the point."""
    net = nn.Sequential(*layers, seed=seed, name=name, dtype="float64")
    net.parameters.data[:] = tidy(normal(seed, name, net.parameters.data.shape))
    return net


def softplus(x: Array) -> float:
    """The mean of log(1 + e^x), which is -log sigmoid(-x)."""
    return float(np.logaddexp(0.0, x).mean())


def code_term(guess: Array, code: Array) -> float:
    """InfoGAN's term with weight 1: the mean over the rows of -log Q(c | x), without a constant."""
    logits, means = guess[:, :CATEGORIES], guess[:, CATEGORIES:]  # (B, K), (B, m)
    category, continuous = code[:, :CATEGORIES], code[:, CATEGORIES:]  # (B, K), (B, m)
    right = (logits * category).sum(axis=1)  # (B,)
    cross_entropy = np.logaddexp.reduce(logits, axis=1) - right  # (B,)
    squares = ((continuous - means) ** 2).sum(axis=1) / (2 * STD**2)  # (B,)
    return float((cross_entropy + squares).mean())


def _evaluation(loss: Callable[[], float]) -> Evaluation:
    value = loss()
    return Evaluation(value, abs(value), ())  # no kinks


def gradients_of(
    named: Mapping[str, tuple[nn.Sequential, Callable[[], float]]],
) -> list[BothGradients]:
    """What a step has left in each network, and differences of the loss that it should lower."""
    found = []
    for role, (net, loss) in named.items():
        of_loss = Differences(net.ops, functools.partial(_evaluation, loss))
        grads = {name: grad.copy() for name, grad in net.parameters.named_grads().items()}
        for name, value in net.parameters.named().items():
            of_loss.tensors[f"{role} {name}"] = value, grads[name]
        found += [both_gradients(of_loss, name) for name in of_loss.tensors]
    return found


def played(game: Game, seed: int, labels: Array | None = None) -> tuple[Array, ...]:
    """Play a step on random real samples.

    Returns:
        real (B, 1); and of the samples of both halves, D's first, the noise z (2, B, dim) and the
        condition c (2, B, k) that G was given.
    """
    real = tidy(normal(seed, "real", (BATCH, 1)))
    game.step(real, labels)
    (of_G,) = (bound for title, bound in game.passes() if title == "G")
    z, c = of_G.layers[0].X, of_G.condition
    return real, z.reshape(2, BATCH, -1).copy(), c.reshape(2, BATCH, -1).copy()


def at_rest(net: nn.Sequential) -> nn.SGD:
    """An optimizer that moves nothing."""
    return nn.SGD(net.parameters, lr=0.0)


def step_of_conditional_gan(seed: int) -> Shown:
    """One step: G appends the label to its noise, and D ends in a projection."""
    G = network(nn.AppendCondition(1, 2), nn.Linear(3, 1), seed=seed, name="generator")
    layers = nn.Linear(1, 2), nn.Tanh(), nn.Projection(2, 2)
    D = network(*layers, seed=seed, name="discriminator")
    game = ConditionalGAN(G, D, Normal(dim=1), None, at_rest(G), at_rest(D), seed=seed)
    labels = np.array([1, 0, 1])  # (B,)
    real, z, c = played(game, seed, labels)

    def of_D() -> float:
        fake = G.forward(z[0], condition=c[0])  # (B, 1)
        logits = D.forward(np.concatenate([real, fake]), condition=np.concatenate([c[0], c[0]]))
        return softplus(-logits[:BATCH]) + softplus(logits[BATCH:])

    def of_G() -> float:
        return softplus(-D.forward(G.forward(z[1], condition=c[1]), condition=c[1]))

    given = {"real x": real, "labels": labels, "z in D's half": z[0], "z in G's half": z[1]}
    given |= {"y of generated samples in D's half": c[0], "in G's half": c[1]}
    return given, gradients_of({"D": (D, of_D), "G": (G, of_G)})


def step_of_infogan(seed: int) -> Shown:
    """One step with two categories and one continuous code; D's trunk is Linear and Tanh."""
    k = CATEGORIES + 1
    G = network(nn.AppendCondition(1, k), nn.Linear(1 + k, 1), seed=seed, name="generator")
    layers = nn.Linear(1, 2), nn.Tanh(), nn.Linear(2, 1)
    D = network(*layers, seed=seed, name="discriminator")
    Q = network(nn.Linear(2, k), seed=seed, name="recogniser")
    game = InfoGAN(
        *(G, D, Q, Normal(dim=1), None, at_rest(G), at_rest(D), at_rest(Q)),
        **CODES,
        seed=seed,
    )
    real, z, c = played(game, seed)
    trunk, head = D.split(game.trunk)

    def term(x: Array, code: Array) -> float:
        return code_term(Q.forward(trunk.forward(x)), code)

    def of_D() -> float:
        fake = G.forward(z[0], condition=c[0]).copy()  # (B, 1)
        return softplus(-D.forward(real)) + softplus(D.forward(fake)) + term(fake, c[0])

    def of_G() -> float:
        fake = G.forward(z[1], condition=c[1]).copy()  # (B, 1)
        return softplus(-D.forward(fake)) + term(fake, c[1])

    gradients = gradients_of({"D": (D, of_D), "G": (G, of_G), "Q": (Q, of_G)})
    phi = trunk.forward(G.forward(z[0], condition=c[0])).copy()  # (B, 2)
    dlogits = 1 / (1 + np.exp(-head.forward(phi))) / BATCH  # (B, 1), of generated samples
    guess, dguess = Q.forward(phi), np.empty((BATCH, k))
    game.code_gradient(guess, c[0], out=dguess)
    both = [np.array(net.backward(dY)) for net, dY in ((head, dlogits), (Q, dguess))]
    given = {"real x": real, "z in D's half": z[0], "code in D's half": c[0]}
    given |= {"z in G's half": z[1], "code in G's half": c[1]}
    given["phi of the generated samples in D's half"] = phi
    given["its gradient from D's head"], given["its gradient from Q"] = both
    return given | {"their sum, which goes into the trunk": both[0] + both[1]}, gradients


def term_of_infogan(seed: int) -> Shown:
    """The term alone: Q's output for three samples, and the codes that these were made from."""
    k = CATEGORIES + 1
    G = network(nn.AppendCondition(1, k), nn.Linear(1 + k, 1), seed=seed, name="generator")
    D = network(nn.Linear(1, 2), nn.Linear(2, 1), seed=seed, name="discriminator")
    Q = network(nn.Linear(2, k), seed=seed, name="recogniser")
    game = InfoGAN(G, D, Q, Normal(dim=1), **CODES, seed=seed)
    code = game.draw_condition(BATCH, seed=seed)  # (B, k)
    guess = tidy(normal(seed, "guess", (BATCH, k)))

    def term(guess: Array) -> tuple[float, Array]:
        out = np.empty(guess.shape)
        game.code_gradient(guess, code, out=out)
        return code_term(guess, code), out

    both = compare_function(term, guess)
    E = np.exp(guess[:, :CATEGORIES])  # (B, K)
    softmax = E / E.sum(axis=1, keepdims=True)  # (B, K)
    category = (softmax * code[:, :CATEGORIES]).sum(axis=1)  # (B,), Q's belief in the right one
    given = {"code": code, "guess": guess, "softmax of the logits": softmax}
    given["information in nats: log K + mean of log Q(category | x)"] = np.array(
        [np.log(CATEGORIES) + np.log(category).mean()]
    )
    gradient = BothGradients("dguess", both.analytic, both.numeric, both.wrong)
    return given, [gradient]


def term_of_consistency(seed: int) -> Shown:
    """The term of three images of 2 x 2 pixels; the trunk is Linear and Tanh."""
    layers = nn.Linear(4, 2), nn.Tanh(), nn.Linear(2, 1)
    trunk, _ = network(*layers, seed=seed, name="discriminator").split(2)
    Q = network(nn.Linear(2, CATEGORIES), seed=seed, name="recogniser")
    real = tidy(normal(seed, "real", (BATCH, 4)))
    phi, stream = trunk.forward(real).copy(), Stream(seed, "consistency")
    shifts = Consistency(2, zoom=0.0, shear=0.0, shift=1.0)
    bound = ConsistencyPass(shifts, trunk, Q, real, phi, CATEGORIES, stream)
    bound.add_to_gradients()  # the trunk's and Q's are zero before
    bound.moved.add_gradients()
    p, copies = bound.p, bound.copies  # (B, K), (B, 4)

    def log_q() -> Array:
        logits = Q.forward(trunk.forward(copies))  # (B, K)
        return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)

    def term() -> float:
        m = np.exp(log_q()).mean(axis=0)  # (K,)
        return float(-(p * log_q()).sum(axis=1).mean() + CATEGORIES / 2 * (m**2).sum())

    q = np.exp(log_q())  # (B, K)
    given = {"images (2 x 2, in rows)": real, "their moved copies": copies}
    given |= {"p of the images, sharpened": p, "q of the copies": q, "m, the mean of q": q.mean(0)}
    return given, gradients_of({"trunk": (trunk, term), "Q": (Q, term)})


@dataclass(frozen=True)
class GameTopic(Topic):
    """A game, or a part of one, with a tiny step."""

    group: ClassVar[str] = "games"
    subject: type
    play: Callable[[int], Shown]  # the seed -> the arrays that are shown, and the gradients
    formula: tuple[str, ...]  # words in the paragraphs of its file's docstring that are shown
    code: tuple[Callable[..., Any], ...]
    legend: str  # what the gradients are

    def sections(self, seed: int) -> tuple[Sections, int]:
        doc = inspect.getdoc(inspect.getmodule(self.subject)) or ""
        paragraphs = doc.split("\n\n")
        formula = [part for part in paragraphs if any(words in part for words in self.formula)]
        given, gradients = self.play(seed)
        table, wrong = both_columns(gradients, ("our code", "differences"), prefix="")
        live = "\n\n".join(grid(name, A) for name, A in given.items())
        return [
            ("Formula", "\n\n".join(formula)),
            ("Derivation, in brief", self.derivation),
            ("Our code", source(self.code)),
            (f"Live numbers: seed {seed}", live),
            (self.legend, table),
        ], wrong


GAMES: tuple[Topic, ...] = (
    GameTopic(
        ConditionalGAN,
        step_of_conditional_gan,
        ("E[log D(x, y)]",),
        (ConditionalGAN.take_real, GAN.update_discriminator, GAN.update_generator),
        "Gradients of D's loss by D, and of G's loss by G",
        aliases=("cGAN", "label"),
        page="gan/conditional",
        derivation="""\
With p(y) the frequency of class y, the value is a mean over classes,
    sum over y of p(y) (E[log D(x, y)] + E[log(1 - D(G(z, y), y))]),
and each class is a GAN of its own: the best D(x, y) is p(x|y) / (p(x|y) +
q(x|y)). All classes share the weights of G and D.
If G's labels had other frequencies q(y), the best D would be
    p(y) p(x|y) / (p(y) p(x|y) + q(y) q(x|y)),
which is not 1/2 for a perfect G: D would learn the frequencies. So generated
samples get the labels of the real ones.""",
    ),
    GameTopic(
        InfoGAN,
        term_of_infogan,
        ("The information I(", "E[log Q(c | x)] + H(c), "),
        (InfoGAN.code_gradient, InfoGAN.draw),
        "Gradient of the term -weight (mean of log Q(c | x)) by Q's output",
        aliases=("mutual information", "information", "Q", "recogniser", "recognizer"),
        page="gan/infogan",
        derivation="""\
    I(c; x) = H(c) - H(c | x) = H(c) + E[log p(c | x)]
The posterior p(c | x) of a sample's code is not known. For any Q(c | x),
    E[log p(c | x)] = E[log Q(c | x)] + E[KL(p(. | x), Q(. | x))],
and KL >= 0. So H(c) + E[log Q(c | x)] is at most I(c; x). Its mean is over
codes that were drawn and the samples made from them: no posterior is needed.
A category among K: H = log K, and -log Q is cross-entropy on logits. A
continuous code u: Q is normal, -log Q = (u - mean)^2 / (2 std^2) + constant.
    dlogits = weight / B (softmax(logits) - category)
    dmean   = weight / (B std^2) (mean - u)""",
    ),
    GameTopic(
        TwoHeads,
        step_of_infogan,
        ("share D's first layers", "in D's half, with D's optimizer"),
        (TwoHeads.forward, TwoHeads.backward, InfoGAN.update_generator),
        "Gradients of the loss and the term by D and by G, and of the term by Q",
        aliases=("trunk", "shared trunk", "trunk with two heads"),
        page="gan/infogan",
        derivation="""\
What the trunk makes, phi, is read by D's head and by Q. The loss is a sum,
    L = L_D(head(phi)) + term(Q(phi)),
so the gradient by phi is a sum, too:
    dphi = what the head sends down + what Q sends down
Q reads generated samples alone: in the rows of real ones its part is 0. One
backward pass of the trunk then makes the gradients of both.
    D's half:  the trunk and D's head are updated at D's rate; not Q
    G's half:  G and Q are updated, each at its own rate; not the trunk""",
    ),
    GameTopic(
        Consistency,
        term_of_consistency,
        ("So Q's guess", "term = weight", "with the guesses p", "the gradient of the latest"),
        (ConsistencyPass.add_to_gradients, ConsistencyPass._logit_gradient),
        "Gradients of the term by D's trunk and by Q",
        aliases=("moved copies", "augmentation", "self-augmented training"),
        page="gan/infogan",
        derivation="""\
q is the softmax of Q's logits for the copies, and p does not depend on them.
    cross-entropy, mean over B:  dlogits = 1/B (q - p)
    balance:  m_k = sum over b of q_bk / B, so dq_bk = K m_k / B
    softmax:  dlogits_bk = q_bk (dq_bk - sum over j of q_bj dq_bj)
Together, with the weight:
    dlogits = weight/B (q - p + q (K m - sum over j of q_j K m_j))
If all categories are equally likely, K m = 1, and the last part is 0.
The gradient goes from Q's logits through Q and the trunk, of the copies alone.
    D's half:  the trunk is updated with D, at D's rate
    G's half:  Q's gradient is added to that of the codes, at Q's rate""",
    ),
)
