"""The number of threads: chosen by the size of the products, or by the caller."""

from __future__ import annotations

import contextlib

import pytest
from threadpoolctl import threadpool_info

import minigan as mg
from examples import gaussian1d, mnist
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
