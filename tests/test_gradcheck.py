"""The gradient check itself: what it must call wrong, and what it must not."""

from __future__ import annotations

import re

import numpy as np
import pytest

import minigan as mg
from minigan.nn import LayerPass
from minigan.nn.differences import differences
from minigan.nn.gradcheck import SMALL, compare, compare_function
from minigan.nn.layers.activations import ReLUPass
from minigan.nn.layers.linear import LinearPass


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def of_sum(factors: np.ndarray, told: np.ndarray):
    """sum(factors * X), which claims that its gradient is `told`."""
    return lambda X: (float((factors * X).sum()), told)


# -- how small an error, and how large a noise -------------------------------------------


@pytest.mark.parametrize("size", [1e-3, 1e-4, 1e-5])
def test_a_small_error_in_a_small_gradient_is_wrong(size):
    """The rounding of a loss of about 1 hides derivatives below about 2e-6, no larger ones."""
    X = np.ones((2, 3))
    factors = np.full((2, 3), size)

    def function(X, told=factors):
        return 1.0 + float((factors * X).sum()), told

    assert mg.gradcheck_function(function, X).ok
    wrong = factors.copy()
    wrong[1, 2] *= 1 + 1e-4
    report = mg.gradcheck_function(lambda X: function(X, wrong), X)
    assert not report.ok
    assert report.rows[0].where == "[1, 2]"
    assert report.rows[0].analytic == wrong[1, 2]
    assert report.rows[0].numeric == pytest.approx(size, rel=1e-6)


def test_a_derivative_below_the_noise_is_not_called_wrong():
    """A loss of 1e6 is known to 1e-10, so its differences over 1e-3 to 1e-7."""
    X = np.ones((2, 3))
    factors = np.full((2, 3), 1e-3)
    for seed in range(20):
        shift = 1e6 * (1 + np.random.default_rng(seed).uniform())
        report = mg.gradcheck_function(
            lambda X, shift=shift: (shift + float((factors * X).sum()), factors), X
        )
        assert report.ok, f"\n{report}"


@pytest.mark.parametrize("shape", [(2, 4), (8, 8)])
def test_an_error_of_twice_the_tolerance_is_wrong_and_of_half_is_not(shape):
    X = normal(*shape)
    factors = normal(*shape, seed=1)
    for tolerance in (1e-6, 1e-3):
        for share in (0.5, 2.0):
            told = factors * (1 + share * tolerance)
            report = mg.gradcheck_function(of_sum(factors, told), X, tolerance=tolerance)
            assert report.ok == (share < 1)
            largest = np.abs(told - factors) / np.maximum(np.abs(told), rms(told))
            assert report.max_relative_error == pytest.approx(largest.max(), rel=1e-3)
            assert report.tolerance == tolerance


def test_a_failing_direction_is_not_excused_by_an_element():
    """Every element is slightly off: some directions fail where the element found does not."""
    failed = 0
    for seed in range(60):
        factors = normal(10, 20, seed=seed)
        told = factors + 1.3e-6 * rms(factors)
        check = mg.gradcheck_function(
            of_sum(factors, told), normal(10, 20), directions=1, seed=seed
        )
        key = mg.Stream(seed, "gradcheck/X").keys[0]
        along = np.random.Generator(np.random.Philox(key=key)).standard_normal(factors.shape)
        along /= np.linalg.norm(along)
        a, n = (told * along).sum(), (factors * along).sum()
        off = abs(a - n) / max(abs(a), abs(n), rms(told))
        assert check.ok == (off <= 1e-6), seed
        failed += not check.ok
    assert 10 < failed < 50


def rms(X: np.ndarray) -> float:
    return float(np.sqrt(np.mean(X**2)))


def test_errors_are_relative_to_the_gradients_rms_entry():
    """A tiny element among large ones is judged with them."""
    factors = np.array([[1e3, 1e3, 1e-6]])
    told = factors + np.array([[0.0, 0.0, 1e-4]])
    assert mg.gradcheck_function(of_sum(factors, told), np.ones((1, 3))).ok
    alone = mg.gradcheck_function(of_sum(factors[:, 2:], told[:, 2:]), np.ones((1, 1)))
    assert not alone.ok


def test_no_gradient_at_all_is_right_for_a_constant():
    report = mg.gradcheck_function(lambda X: (0.0, np.zeros_like(X)), np.ones((2, 2)))
    assert report.ok
    assert report.max_relative_error == 0.0
    wrong = mg.gradcheck_function(lambda X: (0.0, np.ones_like(X)), np.ones((2, 2)))
    assert wrong.max_relative_error == 1.0


def test_fourth_order_differences():
    """A cubic is exact for them, so the numbers are as good as rounding allows."""
    X = np.array([[0.3, -1.2]])
    report = mg.gradcheck_function(lambda X: (float((X**3).sum()), 3 * X**2), X, tolerance=1e-10)
    assert report.ok


# -- large tensors ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [64, 65])
def test_up_to_64_elements_are_checked_one_by_one(size):
    X = normal(1, size)
    row = mg.gradcheck_function(of_sum(X, X), X, directions=5).rows[0]
    assert row.how == ("every element" if size <= SMALL else "5 directions")
    assert row.shape == (1, size)
    assert row.name == "X"


@pytest.mark.parametrize("place", [(0, 0), (9, 9), (4, 7)])
def test_a_wrong_element_of_many_is_found_and_shown(place):
    X, factors = normal(10, 10), normal(10, 10, seed=1)
    told = factors.copy()
    told[place] += 0.5
    report = mg.gradcheck_function(of_sum(factors, told), X)
    row = report.rows[0]
    assert not row.ok
    assert row.where == f"[{place[0]}, {place[1]}]"
    assert row.analytic == told[place]
    assert row.numeric == pytest.approx(factors[place], rel=1e-6)
    assert row.max_relative_error == pytest.approx(
        0.5 / max(abs(told[place]), abs(factors[place]), rms(told)), rel=1e-4
    )


def test_directions_are_of_length_one_and_of_a_seed():
    seen = []
    X = normal(10, 10)

    def function(at):
        if not np.array_equal(at, X):
            seen.append(at - X)
        return float(at.sum()), np.ones_like(at)

    for seed in (0, 0, 1):
        mg.gradcheck_function(function, X, directions=3, seed=seed)
    steps = np.array(seen).reshape(3, 3, 4, 100)  # (seeds, directions, -2h -h h 2h, numbers)
    lengths = np.linalg.norm(steps, axis=-1) / 5e-4
    np.testing.assert_allclose(lengths, np.broadcast_to([2, 1, 1, 2], (3, 3, 4)), rtol=1e-9)
    np.testing.assert_array_equal(steps[0], steps[1])
    directions = np.concatenate([steps[0][:, 2], steps[2][:, 2]]) / 5e-4
    overlap = directions @ directions.T
    assert np.abs(overlap[~np.eye(6, dtype=bool)]).max() < 0.5


# -- kinks --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("distance", "avoided"), [(2e-3, 0), (6e-4, 1), (3e-4, 1), (6e-5, 2), (2e-5, 2)]
)
def test_steps_are_shortened_near_a_kink(distance, avoided):
    """From 5e-4 by tens, twice each way: one more for each that crosses, first -2h, then 2h."""
    net = mg.Sequential(mg.ReLU(), in_features=1)
    report = mg.gradcheck(net, np.array([[distance]]))
    assert report.ok
    assert report.kinks_avoided == avoided


def test_a_place_too_near_to_a_kink_is_an_error_and_named():
    net = mg.Sequential(mg.ReLU(), in_features=2)
    with pytest.raises(mg.DataError, match=r"X\[1, 0\] sits on a kink.* `kinks` of its layer"):
        mg.gradcheck(net, np.array([[1.0, 1.0], [1e-6, 1.0]]))
    many = np.ones((10, 10))
    many[3, 4] = 0.0
    with pytest.raises(mg.DataError, match=r"every direction in X meets a kink.* `kinks` of its"):
        mg.gradcheck(mg.Sequential(mg.ReLU(), in_features=10), many)


def test_a_wrong_element_that_sits_on_a_kink_is_told_by_its_direction(monkeypatch):
    """A direction moves it by a tenth of what a step of its own would, which crosses the kink."""
    right = ReLUPass.backward

    def wrong(self, dY, **options):
        dX = right(self, dY, **options)
        dX[3, 4] += 1.0
        return dX

    X = np.ones((10, 10))
    X[3, 4] = 3e-6
    net = mg.Sequential(mg.ReLU(), in_features=10)
    assert mg.gradcheck(net, X).ok
    monkeypatch.setattr(ReLUPass, "backward", wrong)
    row = mg.gradcheck(net, X).rows[0]
    assert not row.ok
    assert row.where in [f"direction {k}" for k in range(8)]


# -- what a network must keep ---------------------------------------------------------------


class AddingPass(LinearPass):
    """Adds up its gradient from pass to pass."""

    def backward(self, dY, **options):
        before = self.dweight.copy()
        dX = super().backward(dY, **options)
        self.dweight += before
        return dX


class KeepingPass(LinearPass):
    """Answers for the first X that it saw."""

    def forward(self, X, train):
        Y = super().forward(X, train)
        self.first = getattr(self, "first", X.copy())
        self.X = self.first
        return Y


class RandomPass(LayerPass):
    """Draws new numbers though it should hold."""

    def forward(self, X, train):
        np.multiply(X, np.random.default_rng().uniform(), out=self.Y)
        return self.Y

    def backward(self, dY, **options):
        return dY


class SilentPass(LinearPass):
    def backward(self, dY, **options):
        super().backward(dY, **options)


def layer_with(kind):
    class Layer(mg.Linear):
        def bind(self, binding):
            return kind(binding)

    return Layer(3, 3)


def test_sums_and_kept_inputs_show():
    X = normal(4, 3)
    assert mg.gradcheck(mg.Sequential(mg.Linear(3, 3)), X).ok
    report = mg.gradcheck(mg.Sequential(layer_with(AddingPass)), X)
    assert [row.name for row in report.rows if not row.ok] == ["0.weight"]
    report = mg.gradcheck(mg.Sequential(layer_with(KeepingPass)), X)
    assert [row.name for row in report.rows if not row.ok] == ["0.weight"]
    with pytest.raises(mg.DataError, match="two results at one X"):
        mg.gradcheck(mg.Sequential(layer_with(RandomPass)), X)
    with pytest.raises(mg.ShapeError, match="backward returned None"):
        mg.gradcheck(mg.Sequential(layer_with(SilentPass)), X)


# -- both gradients, entry by entry -----------------------------------------------------------


def test_compare_gives_both_gradients_of_everything():
    net = mg.Sequential(mg.Linear(3, 4), mg.ELU(), mg.Linear(4, 2), seed=0, dtype="float64")
    X, dY = normal(5, 3), normal(5, 2, seed=1)
    Y, both = compare(net, X, dY)
    bound = net.bind(5)
    np.testing.assert_array_equal(Y, bound.forward(X))
    expected = {"X": bound.backward(dY)} | net.parameters.named_grads()
    assert [one.name for one in both] == [*expected]
    for one in both:
        np.testing.assert_array_equal(one.analytic, expected[one.name])
        np.testing.assert_allclose(one.numeric, one.analytic, rtol=1e-7, atol=1e-8)
        assert one.wrong.shape == one.analytic.shape
        assert not one.wrong.any()


def test_compare_marks_the_wrong_entries(monkeypatch):
    right = LinearPass.backward

    def wrong(self, dY, **options):
        dX = right(self, dY, **options)
        self.dweight[1, 0] += 0.1
        dX[2, 1] *= 1.5
        return dX

    monkeypatch.setattr(LinearPass, "backward", wrong)
    net = mg.Sequential(mg.Linear(3, 2), seed=0)
    _, (dX, weight, bias) = compare(net, normal(4, 3), normal(4, 2, seed=1))
    assert np.argwhere(dX.wrong).tolist() == [[2, 1]]
    assert np.argwhere(weight.wrong).tolist() == [[1, 0]]
    assert not bias.wrong.any()
    _, (dX, weight, _) = compare(net, normal(4, 3), normal(4, 2, seed=1), tolerance=10.0)
    assert not dX.wrong.any()
    assert not weight.wrong.any()


@pytest.mark.parametrize("train", [True, False])
def test_compare_holds_the_masks_of_the_mode_that_was_asked_for(train):
    net = mg.Sequential(mg.Dropout(0.5), in_features=6, seed=0)
    X = normal(3, 6)
    Y, (dX,) = compare(net, X, np.ones((3, 6)), train=train)
    np.testing.assert_allclose(dX.numeric, dX.analytic, atol=1e-8)
    np.testing.assert_allclose(Y, X * dX.analytic)
    assert (dX.analytic == 0).any() == train


def test_compare_refuses_what_it_cannot_compare():
    net = mg.Sequential(mg.ReLU(), in_features=2)
    with pytest.raises(mg.ShapeError, match=r"dY has shape \(2, 2\); expected \(1, 2\)"):
        compare(net, np.ones((1, 2)), np.ones((2, 2)))
    with pytest.raises(mg.DataError, match=r"X\[0, 1\] sits on a kink"):
        compare(net, np.array([[1.0, 0.0]]), np.ones((1, 2)))
    for call in (
        lambda: compare(net, np.ones((1, 2)), np.ones((1, 2)), tolerance=0.0),
        lambda: compare_function(lambda X: (0.0, X), np.ones((1, 2)), tolerance=0.0),
    ):
        with pytest.raises(mg.ConfigError, match="tolerance"):
            call()
    blown = mg.Sequential(mg.Linear(2, 1), dtype="float64")
    blown.parameters.data[:] = np.inf
    with pytest.raises(mg.DataError, match="NaN or infinity of this X"):
        compare(blown, np.ones((1, 2)), np.ones((1, 1)))


def test_compare_function_of_a_loss():
    P, T = np.array([[0.2, 0.9], [0.5, 0.4]]), np.array([[0.0, 1.0], [0.3, 0.4]])
    both = compare_function(lambda P: mg.bce(P, T), P)
    assert both.name == "X"
    np.testing.assert_array_equal(both.analytic, mg.bce(P, T)[1])
    np.testing.assert_allclose(both.numeric, both.analytic, rtol=1e-8, atol=1e-10)
    assert not both.wrong.any()
    wrong = compare_function(lambda P: (mg.bce(P, T)[0], mg.bce(P, T)[1] * [[1, 2], [1, 1]]), P)
    assert np.argwhere(wrong.wrong).tolist() == [[0, 1]]


def test_differences_put_back_what_they_change():
    value = normal(3, 2)
    before = value.copy()
    numeric = differences(lambda: float((value**2).sum()), value)
    np.testing.assert_allclose(numeric, 2 * before, rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(value, before)


def test_a_report_of_nothing_passes():
    report = mg.GradcheckReport([], tolerance=1e-6)
    assert report.ok
    assert report.max_relative_error == 0.0
    assert str(report).endswith("passed: worst 0.0e+00, tolerance 1e-06, kinks avoided 0")


def test_a_report_as_text():
    right = mg.gradcheck_function(of_sum(np.ones((1, 2)), np.ones((1, 2))), np.ones((1, 2)))
    lines = str(right).splitlines()
    heads = ["tensor", "shape", "checked", "max rel. error", "where", "analytic", "numeric"]
    assert re.split("  +", lines[0]) == heads
    assert lines[1].startswith("X       1 x 2  every element  ")
    assert lines[1].split()[-1] == "ok"
    for head in heads[3:]:  # numbers are set to the right, under the end of their heading
        end = lines[0].index(head) + len(head)
        assert lines[1][end - 1] != " "
        assert lines[1][end : end + 2] == "  "
    assert lines[2].startswith("passed: worst ")
    assert lines[2].endswith("tolerance 1e-06, kinks avoided 0")
    wrong = mg.gradcheck_function(of_sum(np.ones((1, 2)), np.full((1, 2), 2.0)), np.ones((1, 2)))
    lines = str(wrong).splitlines()
    assert "+2.000000e+00  +1.000000e+00" in lines[1]
    assert lines[1].endswith("WRONG")
    assert lines[2].startswith("FAILED: worst 5.0e-01")


def test_nan_twice_is_not_two_results_at_one_point():
    net = mg.Sequential(mg.Linear(2, 2), seed=1)
    net.parameters.data[0] = np.nan
    assert not mg.gradcheck(net, np.ones((3, 2))).ok
    with pytest.raises(mg.DataError, match="forward makes NaN"):
        compare(net, np.ones((3, 2)), np.ones((3, 2)))


# -- shorter steps where differences disagree -----------------------------------------------


def test_large_inputs_are_proved_with_shorter_steps():
    """With X in the hundreds the longest step misses the curvature."""
    net = mg.Sequential(mg.Linear(3, 4), mg.Tanh(), mg.Linear(4, 2))
    for size in (1.0, 100.0, 1000.0):
        report = mg.gradcheck(net, size * normal(5, 3))
        assert report.ok, f"\n{report}"


@pytest.mark.parametrize(("factor", "right"), [(1.0, True), (1.0001, False)])
def test_a_kink_that_is_not_declared_is_no_fault(factor, right):
    """It spoils the two longer steps; the shortest does not reach it."""
    report = mg.gradcheck_function(
        lambda X: (float(np.abs(X).sum()), factor * np.sign(X)), np.array([[5e-5, -1.0]])
    )
    assert report.ok == right
    many = np.full((10, 10), 5e-5)
    report = mg.gradcheck_function(
        lambda X: (float(np.abs(X).sum()), factor * np.sign(X)), many, directions=2
    )
    assert report.ok == right


def test_a_derivative_that_agrees_with_no_step_is_shown_as_the_longest_gives_it():
    row = mg.gradcheck_function(lambda X: (float((X**7).sum()), 0 * X), np.full((1, 1), 3.0)).rows[
        0
    ]
    f = {k: (3.0 + k * 5e-4) ** 7 for k in (-2, -1, 1, 2)}
    longest = (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * 5e-4)
    assert row.numeric == pytest.approx(longest, rel=1e-14)
    assert row.max_relative_error == 1.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_one_entry_that_is_not_finite_changes_nothing_for_the_others(bad):
    X = np.array([[1.0, 2.0, 3.0]])
    found = compare_function(
        lambda X: (float(np.square(X).sum() / 2), np.array([[1.0, 2.1, bad]])), X
    )
    assert found.wrong.tolist() == [[False, True, True]]
