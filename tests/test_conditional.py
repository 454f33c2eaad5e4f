"""The conditional GAN: who is given which label; its gradients; what it refuses."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from conditional_games import (
    CLASSES,
    DIM,
    FEATURES,
    Draws,
    agree,
    conditional,
    conditional_step,
    labelled,
    require_members_alone,
)

import minigan as mg

B = 6
OPTIONS = {
    "plain": {},
    "same noise": {"same_noise": True},
    "repeats": {"d_steps": 3, "g_steps": 2},
    "repeats with the same noise": {"d_steps": 2, "g_steps": 3, "same_noise": True},
    "fresh real": {"d_steps": 2, "fresh_real": True},
}
recipes = pytest.mark.parametrize("recipe", ["append", "embed"])


def step_by_step(game: mg.ConditionalGAN, steps: int = 3) -> bool:
    """Whether steps end where they end the long way round."""
    twin, data, draws = copy.deepcopy(game), labelled(), Draws(game, B)
    for _ in range(steps):
        n = game.samples_of(B)
        rows = data.next_index(n)
        real, labels = data.X[rows], data.labels[rows].argmax(axis=1)
        game.step(real, labels)
        conditional_step(twin, draws, real, labels)
    return agree(game, twin)


@recipes
@pytest.mark.parametrize("options", OPTIONS)
def test_a_step_is_the_step_the_long_way_round(options, recipe):
    assert step_by_step(conditional(recipe, **OPTIONS[options]))


@recipes
def test_the_halves_of_a_step_alone_are_the_step(recipe):
    """Each with its labels: also G's, and also if it comes first."""
    game, twin, data, draws = conditional(recipe), conditional(recipe), labelled(), {}
    for one in (game, twin):
        one.bind(B)
        draws[one] = data.state()
        one.read(data)
        data.load_state(draws[one])
    game.step()
    twin.discriminator_step()
    twin.generator_step()
    assert agree(game, twin)
    alone = conditional(recipe)
    alone.bind(B)
    alone.read(data)
    alone.discriminator.parameters.data = twin.discriminator.parameters.data
    alone.generator_step()
    np.testing.assert_array_equal(alone.generator.parameters.data, twin.generator.parameters.data)


def differences(loss, parameters: mg.Parameters, directions: int = 6) -> list[tuple[float, float]]:
    """Slopes of a loss in random directions: by the parameters' gradient, and by differences."""
    random, start, found = np.random.default_rng(0), parameters.data.copy(), []
    grad = parameters.grad.copy()
    for _ in range(directions):
        u = random.normal(size=start.shape)
        values = []
        for h in (1e-5, -1e-5):
            parameters.data = start + h * u
            values.append(loss())
        found.append((float(grad @ u), (values[0] - values[1]) / 2e-5))
    parameters.data = start
    return found


@recipes
def test_each_player_gets_the_gradient_of_its_loss(recipe):
    """The value function with a condition, differentiated by differences."""
    game, data, draws = conditional(recipe), labelled(), Draws(conditional(recipe), B)
    game.bind(B)
    game.read(data)
    real, C = game.real.copy(), game.labels.copy()
    G, D = game.generator, game.discriminator
    z = draws.noise("discriminator")
    fake = G.predict(z, C)
    start = D.parameters.data.copy()
    game.discriminator_step()
    updated = D.parameters.data.copy()
    D.parameters.data = start

    def softplus(x):
        return np.logaddexp(0.0, x).mean()

    def loss_of_d():
        return softplus(-D.predict(real, C)) + softplus(D.predict(fake, C))

    for mine, theirs in differences(loss_of_d, D.parameters):
        assert mine == pytest.approx(theirs, rel=1e-6, abs=1e-9)
    D.parameters.data, start = updated, G.parameters.data.copy()
    game.generator_step()
    G.parameters.data, z = start, draws.noise("generator")
    for mine, theirs in differences(lambda: softplus(-D.predict(G.predict(z, C), C)), G.parameters):
        assert mine == pytest.approx(theirs, rel=1e-6, abs=1e-9)


def test_labels_of_real_and_of_generated_samples_are_as_frequent():
    """Else D could learn what is real from a label alone."""
    game, data = conditional(), labelled()
    game.bind(B)
    for _ in range(5):
        game.read(data)
        game.step()
        for third in np.split(game._condition, 3):
            np.testing.assert_array_equal(third, game.labels)


@recipes
def test_it_learns_to_make_the_class_that_it_was_asked_for(recipe):
    game, data = conditional(recipe, average=0.98, penalty=mg.R1(0.1)), labelled()
    game.discriminator_optimizer.lr = 0.5
    game.bind(24)
    game.capture()
    for _ in range(400):
        game.read(data)
        game.step()
    means = [game.sample(200, seed=1, labels=k).mean() for k in range(CLASSES)]
    np.testing.assert_allclose(means, np.arange(CLASSES), atol=0.4)


# -- sampling by wish -----------------------------------------------------------------------


def test_samples_take_turns_or_are_of_the_class_asked_for():
    game = conditional()
    Z = game.draw_noise(7, seed=3)
    in_turn = np.eye(CLASSES)[np.arange(7) % CLASSES]
    np.testing.assert_array_equal(game.sample(7, seed=3), game.generator.predict(Z, in_turn))
    np.testing.assert_array_equal(
        game.sample(7, 3, labels=[0, 1, 2, 0, 1, 2, 0]), game.sample(7, 3)
    )
    for label in (2, np.uint8(2), [2] * 7, np.full(7, 2, "int8")):
        asked = game.generator.predict(Z, np.eye(CLASSES)[[2] * 7])
        np.testing.assert_array_equal(game.sample(7, 3, labels=label), asked)
    assert game.sample(0, labels=1).shape == game.sample(0).shape == (0, FEATURES)
    counts = game.draw_condition(10 * CLASSES).sum(axis=0)
    assert counts.tolist() == [10] * CLASSES


def test_each_member_of_a_population_may_have_labels_of_its_own():
    game = conditional(seed=[0, 1])
    labels = np.array([[0, 1, 2], [2, 2, 0]])
    both = game.sample(3, 5, labels=labels)
    for member, row in enumerate(labels):
        np.testing.assert_array_equal(both[member], game.sample(3, 5, labels=row)[member])
    real = np.random.default_rng(0).normal(size=(2, 3, FEATURES))
    game.step(real, labels)
    np.testing.assert_array_equal(game.labels, np.eye(CLASSES)[labels])


@pytest.mark.parametrize("captured", [False, True])
@recipes
def test_a_population_is_its_members_to_the_bit(recipe, captured):
    options = {"d_steps": 2, "fresh_real": True, "average": 0.9}
    together = conditional(recipe, seed=[3, 1], **options)
    alone = [conditional(recipe, seed=seed, **options) for seed in (3, 1)]
    require_members_alone(together, alone, captured, rows=2 * B, rel=0.0)


# -- what is refused ------------------------------------------------------------------------


def nets(g_classes: int = CLASSES, d_classes: int = CLASSES) -> tuple[mg.Sequential, ...]:
    G = [mg.AppendCondition(DIM, g_classes)] if g_classes else []
    D = [mg.AppendCondition(FEATURES, d_classes)] if d_classes else []
    return (
        mg.Sequential(*G, mg.Linear(DIM + g_classes, FEATURES), name="g"),
        mg.Sequential(*D, mg.Linear(FEATURES + d_classes, 1), name="d"),
    )


@pytest.mark.parametrize(
    ("kind", "networks", "told"),
    [
        (mg.ConditionalGAN, nets(0, 3), "no layer of the generator reads a condition: begin it"),
        (mg.ConditionalGAN, nets(3, 0), "the discriminator 3 features, and it reads no condition"),
        (mg.ConditionalGAN, nets(3, 4), "the discriminator 3 features, and it reads 4 features"),
        (mg.GAN, nets(3, 0), "^GAN gives the generator no condition, and it reads 3 features$"),
        (mg.GAN, nets(0, 3), "^GAN gives the discriminator no condition, and it reads 3 features"),
    ],
)
def test_networks_that_read_another_condition(kind, networks, told):
    with pytest.raises((mg.ShapeError, mg.ConfigError), match=told):
        kind(*networks, mg.Normal(dim=DIM))


def plain() -> mg.GAN:
    return mg.GAN(*nets(0, 0), mg.Normal(dim=DIM))


X = np.zeros((2, FEATURES))
REFUSED = {
    "a step without labels": (
        lambda: conditional().step(X),
        "a step of ConditionalGAN takes real samples and their labels",
    ),
    "a step with labels alone": (
        lambda: conditional().step(None, [0, 1]),
        "a step of ConditionalGAN takes real samples and their labels",
    ),
    "a plain step with labels": (lambda: plain().step(X, [0, 1]), "a step of GAN takes no labels"),
    "a plain step with labels alone": (
        lambda: plain().step(labels=[0, 1]),
        "a step of GAN takes no labels",
    ),
    "a label too large": (
        lambda: conditional().step(X, [0, 3]),
        "3 is no label: there are 3 classes, 0 to 2",
    ),
    "a label below zero": (lambda: conditional().step(X, [-1, 0]), "-1 is no label"),
    "labels of another number": (
        lambda: conditional().step(X, [0, 1, 2]),
        r"labels must be one integer or 2, not an array \(3,\)",
    ),
    "rows of labels": (lambda: conditional().step(X, np.eye(3)[:2]), "labels must be integers"),
    "words for labels": (lambda: conditional().step(X, ["a", "b"]), "labels must be integers"),
    "fractions": (lambda: conditional().sample(2, labels=[0.0, 1.0]), "labels must be integers"),
    "a sample of no class": (lambda: conditional().sample(2, labels=7), "7 is no label"),
    "labels of a plain GAN": (
        lambda: plain().sample(2, labels=1),
        "a GAN takes noise alone, no labels or codes",
    ),
    "codes of a plain GAN": (lambda: plain().sample(2, codes=[0.5]), "takes noise alone"),
    "codes of a conditional GAN": (
        lambda: conditional().sample(2, codes=[0.5]),
        "a ConditionalGAN has no codes, only labels",
    ),
    "too many samples for their labels": (
        lambda: conditional().sample(4, labels=[0, 1]),
        r"one integer or 4, not an array \(2,\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_in_a_sentence(case):
    call, told = REFUSED[case]
    with pytest.raises((mg.ConfigError, mg.DTypeError), match=told):
        call()


def test_a_wrong_label_changes_nothing():
    game = conditional()
    with pytest.raises(mg.ConfigError):
        game.step(X, [0, 9])
    assert (game.batch, game.step_count) == (0, 0)


def test_the_labels_are_written_into_and_not_replaced():
    game = conditional()
    game.bind(B)
    assert np.isnan(game.labels).all()
    with pytest.raises(mg.ConfigError, match=r"write into it, gan\.labels\[\.\.\.\] = rows"):
        game.labels = np.zeros((B, CLASSES))
    game.real[...] = 0.0
    game.step()  # without labels
    with pytest.raises(mg.NonFiniteError):
        game.check_finite()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (mg.Samples(np.zeros((6, 4)), dtype="float64"), "the data have no classes of labels; Cond"),
        (mg.Samples(np.zeros((6, 4)), dtype="float64", labels=[0, 1, 0, 1, 0, 1]), "2 classes of"),
        (mg.Samples(np.zeros((6, 4)), dtype="float64", labels=[0, 1, 2, 3, 0, 1]), "4 classes of"),
    ],
)
def test_data_of_other_classes_are_refused_before_a_run_begins(data, told, tmp_path):
    with pytest.raises(mg.ConfigError, match=told):
        mg.Trainer(conditional(), data, tmp_path / "run", batch=B)
    assert not (tmp_path / "run").exists()
