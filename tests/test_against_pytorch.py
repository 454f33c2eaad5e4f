"""The same experiment in PyTorch, from the same weights, noise and data: the same trajectory.

Skipped where torch is not installed; it is no dependency of ours.
"""

from __future__ import annotations

import numpy as np
import pytest

import minigan as mg

torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")

STEPS = 50


def copy_weights(net: mg.Sequential, module, first: int) -> None:
    """Give a torch module (whose layer 0 is our layer `first`) the weights of a network."""
    for name, view in net.parameters.named().items():
        layer, kind = name.split(".")
        parameter = getattr(module[int(layer) - first], kind)
        with torch.no_grad():
            parameter.copy_(torch.tensor(view.T if kind == "weight" else view[0]))


def test_article_recipe_follows_pytorch_step_by_step():
    nn = torch.nn
    options = {"dtype": "float64", "seed": 3}
    G = mg.Sequential(
        mg.Linear(1, 50), mg.ELU(), mg.Linear(50, 50), mg.Sigmoid(), mg.Linear(50, 1), **options
    )
    D = mg.Sequential(
        mg.Pack(100),
        mg.Linear(200, 50),
        mg.ELU(),
        mg.Linear(50, 50),
        mg.ELU(),
        mg.Linear(50, 1),
        mg.Sigmoid(),
        **options,
    )
    gan = mg.GAN(
        G,
        D,
        mg.Uniform(0, 1, dim=1),
        mg.NonSaturating(real_target=0.95, generator_target=0.95, probabilities=True),
        mg.Adam(G.parameters, lr=2e-4),
        mg.Adam(D.parameters, lr=2e-4),
    )
    gan.bind(100)

    their_G = nn.Sequential(
        nn.Linear(1, 50), nn.ELU(), nn.Linear(50, 50), nn.Sigmoid(), nn.Linear(50, 1)
    ).double()
    their_D = nn.Sequential(
        nn.Linear(200, 50), nn.ELU(), nn.Linear(50, 50), nn.ELU(), nn.Linear(50, 1), nn.Sigmoid()
    ).double()
    copy_weights(G, their_G, 0)
    copy_weights(D, their_D, 1)
    g_adam = torch.optim.Adam(their_G.parameters(), lr=2e-4)
    d_adam = torch.optim.Adam(their_D.parameters(), lr=2e-4)
    bce = nn.BCELoss()

    def packed(x):
        """(100, 1) -> (1, 200): the samples, then their deviations from a detached mean."""
        row = x.view(1, -1)
        return torch.cat([row, (row - row.mean().detach()) ** 2], dim=1)

    def target(value: float):
        return torch.full((1, 1), value, dtype=torch.float64)

    data = mg.Gaussian(seed=3)
    noises = [mg.Stream(3, f"gan/{which}_noise") for which in ("discriminator", "generator")]
    z = np.empty((100, 1))
    for _ in range(STEPS):
        data.next_batch(out=gan.real)
        real = torch.tensor(gan.real.copy())
        gan.step()
        mine = gan.losses()

        d_adam.zero_grad()
        d_real = bce(their_D(packed(real)), target(0.95))
        gan.noise.fill(gan.ops, noises[0], out=z)
        d_fake = bce(their_D(packed(their_G(torch.tensor(z)).detach())), target(0.0))
        (d_real + d_fake).backward()
        d_adam.step()
        g_adam.zero_grad()
        gan.noise.fill(gan.ops, noises[1], out=z)
        g = bce(their_D(packed(their_G(torch.tensor(z)))), target(0.95))
        g.backward()
        g_adam.step()
        for name, theirs in (("d_real", d_real), ("d_fake", d_fake), ("g", g)):
            assert mine[name] == pytest.approx(theirs.item(), rel=1e-9)

    for net, module, first in ((G, their_G, 0), (D, their_D, 1)):
        for name, view in net.parameters.named().items():
            layer, kind = name.split(".")
            theirs = getattr(module[int(layer) - first], kind).detach().numpy()
            np.testing.assert_allclose(
                view, theirs.T if kind == "weight" else theirs[None], rtol=1e-9, atol=1e-12
            )


def test_wasserstein_recipe_follows_pytorch_step_by_step():
    """RMSprop, clipped weights, and three updates of D, each on real samples of its own."""
    nn = torch.nn
    G = mg.Sequential(mg.Linear(2, 8), mg.Tanh(), mg.Linear(8, 1), dtype="float64", name="g")
    D = mg.Sequential(mg.Linear(1, 8), mg.Tanh(), mg.Linear(8, 1), dtype="float64", name="d")
    noise, loss = mg.Normal(dim=2), mg.Wasserstein()
    rules = [mg.RMSprop(net.parameters, 1e-3, alpha=0.9) for net in (G, D)]
    options = {"constraint": mg.Clip(0.2), "d_steps": 3, "fresh_real": True}
    gan = mg.GAN(G, D, noise, loss, *rules, **options)
    gan.bind(10)
    theirs = [nn.Sequential(nn.Linear(n, 8), nn.Tanh(), nn.Linear(8, 1)).double() for n in (2, 1)]
    their_G, their_D = theirs
    for net, module in zip((G, D), theirs, strict=True):
        copy_weights(net, module, 0)
    g_rule, d_rule = (torch.optim.RMSprop(m.parameters(), lr=1e-3, alpha=0.9) for m in theirs)
    streams = [mg.Stream(0, f"gan/{which}_noise") for which in ("discriminator", "generator")]
    data, z = mg.Gaussian(seed=3), np.empty((10, 2))
    for _ in range(20):
        data.next_batch(out=gan.real)
        real = torch.tensor(gan.real.copy()).view(3, 10, 1)
        gan.step()
        for fresh in real:
            noise.fill(gan.ops, streams[0], out=z)
            fake = their_G(torch.tensor(z)).detach()
            estimate = their_D(fresh).mean() - their_D(fake).mean()
            d_rule.zero_grad()
            (-estimate).backward()
            d_rule.step()
            with torch.no_grad():
                for parameter in their_D.parameters():
                    parameter.clamp_(-0.2, 0.2)
        noise.fill(gan.ops, streams[1], out=z)
        g_rule.zero_grad()
        (-their_D(their_G(torch.tensor(z))).mean()).backward()
        g_rule.step()
        assert gan.losses()["estimate"] == pytest.approx(estimate.item(), rel=1e-9)
    for net, module in zip((G, D), theirs, strict=True):
        for name, view in net.parameters.named().items():
            layer, kind = name.split(".")
            their = getattr(module[int(layer)], kind).detach().numpy()
            np.testing.assert_allclose(view, their.T if kind == "weight" else their[None])


def test_the_gradients_of_hinge_are_those_of_autograd():
    loss, ops = mg.Hinge(), mg.backend.numpy
    Y = 2 * np.random.default_rng(0).normal(size=(12, 1))
    theirs = torch.tensor(Y, requires_grad=True)
    (torch.relu(1 - theirs[:6]).mean() + torch.relu(1 + theirs[6:]).mean()).backward()
    targets, dY = np.empty((12, 1)), np.empty((12, 1))
    loss.targets(ops, out=targets)
    loss.discriminator_gradient(ops, Y, targets, dY)
    np.testing.assert_allclose(dY, theirs.grad.numpy(), rtol=1e-12)
    assert 0 < (dY == 0).sum() < 12


@pytest.mark.parametrize("kind", ["one-hot", "shares"])
def test_softmax_cross_entropy_is_that_of_pytorch(kind):
    ops, random = mg.backend.numpy, np.random.default_rng(0)
    logits, shares = 3 * random.normal(size=(12, 5)), random.dirichlet(np.ones(5), 12)
    targets = shares if kind == "shares" else np.eye(5)[shares.argmax(axis=1)]
    theirs = torch.tensor(logits, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(theirs, torch.tensor(targets))
    expected.backward()
    loss, dlogits = np.empty(()), np.empty((12, 5))
    ops.softmax_cross_entropy_loss(logits, targets, out=loss)
    ops.softmax_cross_entropy_gradient(logits, targets, 12, out=dlogits)
    np.testing.assert_allclose(loss, expected.item(), rtol=1e-12)
    np.testing.assert_allclose(dlogits, theirs.grad.numpy(), rtol=1e-10, atol=1e-15)


def assert_the_same_updates(net, ours, weights, theirs):
    """Fifty updates by random gradients end in the same weights."""
    random = np.random.default_rng(0)
    for _ in range(50):
        net.parameters.grad[:] = random.normal(size=net.parameters.size)
        weights.grad = torch.tensor(net.parameters.grad.copy())
        ours.step()
        theirs.step()
    np.testing.assert_allclose(net.parameters.data, weights.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.9, 0.99])
def test_rmsprop_is_that_of_pytorch(alpha):
    net = mg.Sequential(mg.Linear(5, 4), dtype="float64")
    ours = mg.RMSprop(net.parameters, 0.01, alpha, eps=1e-3)
    weights = torch.nn.Parameter(torch.tensor(net.parameters.data.copy()))
    theirs = torch.optim.RMSprop([weights], lr=0.01, alpha=alpha, eps=1e-3)
    assert_the_same_updates(net, ours, weights, theirs)


def test_weight_decay_is_that_of_adamw():
    net = mg.Sequential(mg.Linear(5, 4), dtype="float64")
    ours = mg.Adam(net.parameters, 0.01, (0.5, 0.9), weight_decay=0.3)
    weights = torch.nn.Parameter(torch.tensor(net.parameters.data.copy()))
    theirs = torch.optim.AdamW([weights], lr=0.01, betas=(0.5, 0.9), weight_decay=0.3)
    assert_the_same_updates(net, ours, weights, theirs)
