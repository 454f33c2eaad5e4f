"""The threads of a product: how many. The threads of a program: what they may do together."""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from test_training import contents, failing_once, start
from threadpoolctl import threadpool_info

import minigan as mg
from examples import gaussian1d, mnist
from minigan.backend import meter
from minigan.backend import numpy as ops
from minigan.backend.numpy import recording
from minigan.errors import OrderError
from minigan.nn.layer import LayerPass
from minigan.training import limit_threads, suitable_threads
from minigan.training.threads import largest_product


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_the_1d_networks_get_one_thread_and_the_image_networks_all():
    for recipe in gaussian1d.RECIPES.values():
        assert suitable_threads(gaussian1d.build(recipe)[0], recipe.batch) == 1
    for recipe in mnist.RECIPES.values():
        assert suitable_threads(mnist.build(recipe, 784, 60_000), recipe.batch) is None


def test_the_largest_product_by_hand():
    article = gaussian1d.build(gaussian1d.RECIPES["article"])[0]
    assert largest_product(article, 100) == 200 * 50 * 50  # G's middle layer, for both noises
    images = mnist.build(mnist.RECIPES["article"], 784, 60_000)  # the same noise in both halves
    assert largest_product(images, 100) == 200 * 784 * 256  # D's first layer, real and fake
    bare = mg.Sequential(mg.Tanh(), in_features=1)
    gan = mg.GAN(mg.Sequential(mg.Linear(1, 1)), bare, mg.Normal())
    assert largest_product(gan, 7) == 14


def test_any_layer_can_state_its_product():
    class Large(mg.Tanh):
        def multiplications(self, shape: tuple[int, int]) -> int:
            return 1000 * shape[0] * shape[1]

    def threads_of(layer: mg.Layer) -> int | None:
        D = mg.Sequential(mg.Pack(4, deviations=False), layer, mg.Linear(100, 1), in_features=25)
        gan = mg.GAN(mg.Sequential(mg.Linear(1, 25)), D, mg.Normal())
        assert suitable_threads(gan, 39) == 1  # a batch that does not fit is refused elsewhere
        return suitable_threads(gan, 40)

    assert threads_of(mg.Tanh()) == 1
    assert threads_of(Large()) is None  # 20 packs of 100 numbers: 2,000,000


def test_a_fit_limits_the_threads_and_gives_them_back(tmp_path):
    before, seen = blas_threads(), []
    gan, data = gaussian1d.build(gaussian1d.RECIPES["stable"])
    run = mg.Trainer(gan, data, tmp_path / "run", batch=128, print_every=5, progress=False)
    run.every(1, "row", lambda t: seen.append(blas_threads()))
    run.fit(steps=5)
    assert all(threads == {1} for threads in seen)
    assert blas_threads() == before


def test_the_caller_decides(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "minigan.training.trainer.limit_threads",
        lambda n: asked.append(n) or contextlib.nullcontext(),
    )
    gan, data = gaussian1d.build(gaussian1d.RECIPES["stable"])
    run = mg.Trainer(gan, data, tmp_path / "run", batch=128, progress=False)
    run.fit(steps=1, threads=2)
    run.fit(steps=1)
    assert asked == [2, 1]
    with pytest.raises(mg.ConfigError, match="threads"):
        run.fit(steps=2, threads=0)
    with limit_threads(None):
        pass


# -- one thread trains --------------------------------------------------------------------


def errors_in_a_thread(*calls: Callable[[], object]) -> list[str]:
    """What each call raises in a thread of its own."""
    found: list[str] = []

    def run() -> None:
        for call in calls:
            try:
                call()
                found.append("")
            except Exception as error:
                found.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found


def test_a_second_thread_cannot_use_a_trainer_that_trains(tmp_path):
    before, found = blas_threads(), []
    trainer = start(tmp_path / "run")

    def use(trainer: mg.Trainer) -> None:
        calls = (
            lambda: trainer.fit(steps=90, capture=False),
            trainer.save,
            lambda: trainer.change({"print_every": 7}),
        )
        found.extend(errors_in_a_thread(*calls))

    trainer.every(15, "step", use)
    trainer.fit(steps=40)
    assert len(found) == 6
    assert all(one.startswith("BusyError: another thread of this process") for one in found)
    assert blas_threads() == before
    start(tmp_path / "whole").fit(steps=40)
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")
    assert errors_in_a_thread(lambda: trainer.fit(steps=60)) == [""]  # it is free again


def test_after_a_fit_that_failed_another_thread_can_train(tmp_path):
    trainer = start(tmp_path)
    trainer.every(15, "step", failing_once())
    with pytest.raises(mg.CallbackError):
        trainer.fit(steps=40)
    assert errors_in_a_thread(lambda: trainer.fit(steps=40)) == [""]


def test_fit_cannot_be_called_by_what_it_calls(tmp_path):
    found = []

    def use(trainer: mg.Trainer) -> None:
        with pytest.raises(mg.OrderError, match="fit was called by a function") as caught:
            trainer.fit(steps=90, capture=False)
        found.append(caught.value)

    trainer = start(tmp_path / "run")
    trainer.every(15, "step", use)
    trainer.fit(steps=40)
    start(tmp_path / "whole").fit(steps=40)
    assert len(found) == 2
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_one_thread_trains_at_a_time(tmp_path):
    """BLAS has one number of threads: two fits that overlap would leave the wrong one."""
    before, found = blas_threads(), []
    second = start(tmp_path / "second")
    first = start(tmp_path / "first")
    first.every(
        15, "step", lambda trainer: found.extend(errors_in_a_thread(lambda: second.fit(steps=20)))
    )
    first.fit(steps=20)
    assert len(found) == 1
    assert found[0].startswith("BusyError: another thread of this process is training, and BLAS")
    assert second.gan.step_count == 0
    assert blas_threads() == before
    assert errors_in_a_thread(lambda: second.fit(steps=20)) == [""]
    start(tmp_path / "whole").fit(steps=20)
    assert contents(tmp_path / "first") == contents(tmp_path / "second")
    assert contents(tmp_path / "first") == contents(tmp_path / "whole")


def test_one_thread_trains_at_a_time_without_a_limit_too():
    with limit_threads(None):
        (said,) = errors_in_a_thread(lambda: limit_threads(1).__enter__())
    assert said.startswith("BusyError: another thread of this process is training, and BLAS")


def test_a_fit_within_the_fit_of_another_trainer(tmp_path):
    before, seen = blas_threads(), []
    inner, outer = start(tmp_path / "inner"), start(tmp_path / "outer")

    def train_the_other(trainer: mg.Trainer) -> None:
        inner.fit(steps=trainer.gan.step_count)
        seen.append(blas_threads())

    outer.every(15, "step", train_the_other)
    outer.fit(steps=40)
    assert seen == [{1}, {1}]  # the outer limit again
    assert blas_threads() == before
    start(tmp_path / "whole").fit(steps=40)
    assert contents(tmp_path / "outer") == contents(tmp_path / "whole")
    assert mg.load_run(tmp_path / "inner").gan.step_count == 30


# -- threads of the program -----------------------------------------------------------------

WAIT = 30.0  # seconds until a thread that waits for another one gives up


def run(*works: Callable[[], Any]) -> list[Any]:
    """Do all at the same time, each in a thread; the results, or the first error."""
    results: list[Any] = [None] * len(works)

    def work(i: int) -> None:
        try:
            results[i] = works[i]()
        except BaseException as error:
            results[i] = error

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


class MeetingPass(LayerPass):
    """Waits for another thread that is in the same layer, and then computes Y = X."""

    meeting: threading.Barrier | None = None

    def forward(self, X, train):
        if MeetingPass.meeting is not None:
            MeetingPass.meeting.wait(WAIT)
        self.ops.copy(X, out=self.Y)
        return self.Y

    def backward(self, dY, *, parameter_grads=True, input_grad=True):
        self.ops.copy(dY, out=self.dX)
        return self.dX


class Meeting(mg.Layer):
    def bind(self, binding):
        return MeetingPass(binding)


@pytest.fixture
def meeting(monkeypatch) -> Callable[[int], None]:
    def meet(threads: int) -> None:
        monkeypatch.setattr(MeetingPass, "meeting", threading.Barrier(threads))

    return meet


def test_threads_in_the_middle_of_predict_do_not_meet(meeting):
    net = mg.Sequential(mg.Linear(3, 4), Meeting(), mg.Linear(4, 2))
    Xs = [np.random.default_rng(i).normal(size=(5 + i, 3)) for i in range(4)]
    expected = [net.predict(X) for X in Xs]
    meeting(4)
    for _ in range(2):
        for Y, right in zip(run(*[lambda X=X: net.predict(X) for X in Xs]), expected, strict=True):
            np.testing.assert_array_equal(Y, right)
    assert len(net._predictors) == 4  # one for each, and they are used again


def test_threads_in_the_middle_of_sample_do_not_meet(meeting):
    G = mg.Sequential(mg.Linear(2, 4), Meeting(), mg.Linear(4, 1))
    gan = mg.GAN(G, mg.Sequential(mg.Linear(1, 1)), mg.Normal(dim=2), average=0.9)
    expected = [gan.sample(6, seed=seed) for seed in range(3)]
    meeting(3)
    made = run(*[lambda seed=seed: gan.sample(6, seed=seed) for seed in range(3)])
    np.testing.assert_array_equal(made, expected)


def test_a_pass_is_given_back_after_an_error(meeting):
    net = mg.Sequential(mg.Linear(3, 4), Meeting())
    net.predict(np.ones((2, 3)))
    meeting(1)
    assert MeetingPass.meeting is not None
    MeetingPass.meeting.abort()
    with pytest.raises(threading.BrokenBarrierError):
        net.predict(np.ones((2, 3)))
    assert len(net._predictors) == 1


@pytest.fixture
def hurried() -> Iterator[None]:
    """Threads take turns as often as Python lets them."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def wrong_answers(each: int) -> int:
    """How many answers of four threads, 2 x `each` of every one, differ from those of one."""
    G = mg.Sequential(mg.Linear(4, 16), mg.ELU(), mg.Dropout(0.5), mg.Linear(16, 3))
    D = mg.Sequential(mg.Linear(3, 8), mg.LeakyReLU(), mg.Linear(8, 1), name="D")
    gan = mg.GAN(G, D, mg.Normal(dim=4))
    Xs = [np.random.default_rng(i).normal(size=(7 + i, 4)) for i in range(4)]
    predicted = [G.predict(X) for X in Xs]
    drawn = [gan.sample(9, seed=i) for i in range(4)]

    def work(i: int) -> int:
        wrong = 0
        for _ in range(each):
            wrong += not np.array_equal(G.predict(Xs[i]), predicted[i])
            wrong += not np.array_equal(gan.sample(9, seed=i), drawn[i])
        return wrong

    return sum(run(*[lambda i=i: work(i) for i in range(4)]))


@pytest.mark.usefixtures("hurried")
def test_four_threads_predict_and_sample_without_a_wrong_answer():
    assert wrong_answers(each=125) == 0


def test_the_gradient_that_two_threads_make_is_one(monkeypatch):
    """Both find none, and each makes one: the second must not replace the first."""
    net, both = mg.Sequential(mg.Linear(2, 2)), threading.Barrier(2)
    zeros = ops.zeros

    def slow(shape, dtype):
        both.wait(WAIT)
        return zeros(shape, dtype)

    monkeypatch.setattr(ops, "zeros", slow)
    one, other = run(lambda: net.parameters.grad, lambda: net.parameters.grad)
    assert one is other is net.parameters.grad


def test_two_threads_capture_at_the_same_time():
    """Each records its own calls, and a third records none."""
    both = threading.Barrier(3)
    X = np.array([[-1.0, 2.0]])
    made = np.empty((3, 1, 2))

    def step(i: int) -> None:
        both.wait(WAIT)
        ops.scale(X, i + 2.0, out=made[i])
        both.wait(WAIT)

    replays = run(
        lambda: ops.capture(lambda: step(0)), lambda: ops.capture(lambda: step(1)), lambda: step(2)
    )
    np.testing.assert_array_equal(made, [2.0 * X, 3.0 * X, 4.0 * X])
    assert [len(replay.calls) for replay in replays[:2]] == [1, 1]
    made[:] = 0.0
    both.reset()
    for replay in replays[:2]:
        replay()
    np.testing.assert_array_equal(made, [2.0 * X, 3.0 * X, 0.0 * X])
    assert recording.np.multiply is np.multiply  # as before


@pytest.mark.usefixtures("hurried")
def test_steps_and_captures_of_other_threads_change_no_bit():
    def make() -> mg.GAN:
        G = mg.Sequential(mg.Linear(2, 4), mg.ELU(), mg.Linear(4, 2), name="G")
        D = mg.Sequential(mg.Pack(2), mg.Linear(8, 8), mg.Dropout(0.3), mg.Linear(8, 1), name="D")
        return mg.GAN(G, D, mg.Normal(dim=2), average=0.9)

    def train(captured: bool) -> Any:
        gan = make()
        for _ in range(30):
            gan.capture(False)  # so that it is recorded again
            gan.capture(captured)
            gan.step(np.ones((8, 2)))
        return gan.discriminator.parameters.data

    alone = train(captured=False)
    for together in run(*[lambda on=on: train(on) for on in (True, False, True, False)]):
        np.testing.assert_array_equal(together, alone)


def _captures() -> None:
    X = np.ones((1, 1))
    replay = ops.capture(lambda: ops.negate(X, out=X))
    replay()
    if X[0, 0] != 1.0 or recording.np.negative is not np.negative:
        raise SystemExit(3)


def _limits(step: Callable[[], None] = lambda: None) -> None:
    with limit_threads(None):
        step()


@pytest.mark.skipif(sys.platform != "linux", reason="a fork of a process with threads")
@pytest.mark.parametrize(("of_thread", "of_child"), [(ops.capture, _captures), (_limits, _limits)])
def test_a_process_is_free_of_what_a_thread_was_doing_when_it_was_forked(of_thread, of_child):
    inside, done = threading.Event(), threading.Event()

    def step() -> None:
        inside.set()
        done.wait(WAIT)

    thread = threading.Thread(target=of_thread, args=(step,))
    thread.start()
    inside.wait(WAIT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = multiprocessing.get_context("fork").Process(target=of_child)
        child.start()
    child.join(WAIT)
    child.kill()
    done.set()
    thread.join()
    assert child.exitcode == 0


def test_a_profile_hears_its_own_thread_alone():
    X = np.ones((2, 2))
    with meter.observed_calls(ops, {}) as calls:
        run(lambda: ops.negate(X, out=X))
        assert calls == []
        ops.negate(X, out=X)
        with pytest.raises(OrderError, match="already"):
            run(lambda: meter.observed_calls(ops, {}).__enter__())
    assert [call.key.kernel for call in calls] == ["negate"]
    with meter.observed_calls(ops, {}):
        pass
