"""Steps of the conditional GAN and of InfoGAN, and the same steps in PyTorch with autograd.

Skipped where torch is not installed; it is no dependency of ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conditional_games import CLASSES, CONTINUOUS, Draws, conditional, info, labelled

import minigan as mg

torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
F = torch.nn.functional

B, STEPS = 6, 3


class Twin:
    """A network of ours as a function of PyTorch tensors, with the parameters that it has now."""

    def __init__(self, net: mg.Sequential) -> None:
        self.net = net
        self.tensors = {
            name: torch.tensor(np.array(view), requires_grad=True)
            for name, view in net.parameters.named().items()
        }
        self.statistics = {
            name: torch.tensor(np.array(view[0])) for name, view in net.buffers.named().items()
        }

    def __call__(self, X: Any, C: Any = None, first: int = 0, stop: int | None = None) -> Any:
        """The layers from `first` to before `stop` of X (B, in), with condition C (B, k)."""
        for i, layer in enumerate(self.net.layers[:stop]):
            if i < first:
                continue
            named = {
                name.partition(".")[2]: tensor
                for name, tensor in self.tensors.items()
                if name.startswith(f"{i}.")
            }
            kind = type(layer).__name__
            if kind == "Linear":
                X = X @ named["weight"] + named.get("bias", 0.0)
            elif kind == "AppendCondition":
                X = torch.cat([X, C], dim=1)
            elif kind == "Embedding":
                X = torch.cat([X, F.embedding(C.argmax(dim=1), named["weight"])], dim=1)
            elif kind == "Projection":
                chosen = F.embedding(C.argmax(dim=1), named["weight"][:, 1:].T)  # (B, F)
                X = X @ named["weight"][:, :1] + named["bias"] + (X * chosen).sum(1, keepdim=True)
            elif kind == "BatchNorm":
                mean, variance = (self.statistics[f"{i}.running_{s}"] for s in ("mean", "variance"))
                gamma, beta = named["gamma"][0], named["beta"][0]
                X = F.batch_norm(X, mean, variance, gamma, beta, training=True, eps=layer.eps)
            elif kind == "ELU":
                X = F.elu(X, layer.alpha)
            elif kind == "LeakyReLU":
                X = F.leaky_relu(X, layer.slope)
            else:
                assert kind == "Tanh"
                X = torch.tanh(X)
        return X

    def parameters(self) -> list[Any]:
        return [*self.tensors.values()]

    def require_same(self) -> None:
        """Our network has these parameters now."""
        for name, view in self.net.parameters.named().items():
            theirs = self.tensors[name].detach().numpy()
            np.testing.assert_allclose(view, theirs, rtol=1e-9, atol=1e-12, err_msg=name)


def rules(twins: dict[str, Twin], game: mg.GAN) -> dict[str, Any]:
    """PyTorch's optimizers with our settings."""
    found = {}
    for role, twin in twins.items():
        ours = game.optimizers[role]
        if isinstance(ours, mg.Adam):
            found[role] = torch.optim.Adam(twin.parameters(), ours.lr, ours.betas)
        else:
            found[role] = torch.optim.SGD(twin.parameters(), ours.lr)
    return found


def minimise(loss: Any, *rules: Any) -> None:
    """A step of each optimizer."""
    for rule in rules:
        rule.zero_grad()
    loss.backward()
    for rule in rules:
        rule.step()


def slope_penalty(D: Twin, penalty: Any, real: Any, fake: Any, C: Any, alpha: Any) -> Any:
    """R1's term, or the gradient penalty's."""
    if penalty is None:
        return 0.0
    X = real if isinstance(penalty, mg.R1) else alpha * real + (1 - alpha) * fake
    X = X.detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(D(X, C).sum(), X, create_graph=True)
    if isinstance(penalty, mg.R1):
        return penalty.gamma / 2 * (slope**2).sum(dim=1).mean()
    return penalty.weight * ((slope.norm(dim=1) - 1) ** 2).mean()


PENALTIES = {"none": None, "R1": mg.R1(0.3), "gradient penalty": mg.GradientPenalty(2.0)}


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("recipe", ["append", "embed"])
def test_steps_of_a_conditional_gan(recipe, penalty):
    game = conditional(recipe, penalty=PENALTIES[penalty])
    twins = {role: Twin(net) for role, net in game.networks.items()}
    G, D = twins["generator"], twins["discriminator"]
    rule, draws, data = rules(twins, game), Draws(game, B), labelled()
    game.bind(B)
    alpha = np.empty((B, 1))
    for _ in range(STEPS):
        game.read(data)
        real, C = torch.tensor(game.real.copy()), torch.tensor(game.labels.copy())
        game.step()
        fake = G(torch.tensor(draws.noise("discriminator")), C).detach()
        if penalty == "gradient penalty":
            game.ops.fill_uniform(draws.streams["penalty"], 0.0, 1.0, out=alpha)
        loss = F.softplus(-D(real, C)).mean() + F.softplus(D(fake, C)).mean()
        extra = slope_penalty(D, game.penalty, real, fake, C, torch.tensor(alpha))
        minimise(loss + extra, rule["discriminator"])
        fake = G(torch.tensor(draws.noise("generator")), C)
        g = F.softplus(-D(fake, C)).mean()
        minimise(g, rule["generator"])
        losses = game.losses()
        assert losses["d_real"] + losses["d_fake"] == pytest.approx(loss.item(), rel=1e-9)
        assert losses["g"] == pytest.approx(g.item(), rel=1e-9)
        if penalty != "none":
            assert losses["penalty"] == pytest.approx(extra.item(), rel=1e-9)
    for twin in twins.values():
        twin.require_same()


@pytest.mark.parametrize("continuous", [0, CONTINUOUS])
@pytest.mark.parametrize("norm", [False, True], ids=["dense", "batch norm"])
def test_steps_of_infogan(norm, continuous):
    """The bound by PyTorch's own words: cross-entropy of logits, and a normal log-density."""
    game = info(norm, continuous=continuous)
    twins = {role: Twin(net) for role, net in game.networks.items()}
    G, D, Q = (twins[role] for role in ("generator", "discriminator", "recogniser"))
    rule, draws, data, at = rules(twins, game), Draws(game, B), labelled(), game.trunk
    game.bind(B)

    def bounds(features: Any, code: Any) -> tuple[Any, Any]:
        """The information of the category, and that of the continuous codes, in nats."""
        guess, K = Q(features), CLASSES
        category = np.log(K) - F.cross_entropy(guess[:, :K], code[:, :K].argmax(dim=1))
        density = torch.distributions.Normal(guess[:, K:], game.std).log_prob(code[:, K:])
        return category, (np.log(2.0) + density).sum(dim=1).mean()

    for _ in range(STEPS):
        game.read(data)
        real = torch.tensor(game.real.copy())
        game.step()
        z, code = (torch.tensor(draw("discriminator")) for draw in (draws.noise, draws.code))
        with torch.no_grad():
            fake = G(z, code)
        loss = F.softplus(-D(real)).mean()
        features = D(fake, stop=at)
        loss = loss + F.softplus(D(features, first=at)).mean()
        minimise(loss - game.weight * sum(bounds(features, code)), rule["discriminator"])
        z, code = (torch.tensor(draw("generator")) for draw in (draws.noise, draws.code))
        features = D(G(z, code), stop=at)
        g = F.softplus(-D(features, first=at)).mean()
        found = bounds(features, code)
        minimise(g - game.weight * sum(found), rule["generator"], rule["recogniser"])
        losses = game.losses()
        assert losses["d_real"] + losses["d_fake"] == pytest.approx(loss.item(), rel=1e-9)
        assert losses["g"] == pytest.approx(g.item(), rel=1e-9)
        assert losses["information"] == pytest.approx(found[0].item(), rel=1e-9)
        if continuous:
            assert losses["code_information"] == pytest.approx(found[1].item(), rel=1e-9)
    for twin in twins.values():
        twin.require_same()
