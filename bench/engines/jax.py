"""JAX: the step as one pure function, jitted; and many of them in one call by lax.scan.

Random numbers, dropout masks too, come from JAX's default generator (Threefry), its key split for
every use; the other generator (rbg) is slower where there is dropout. Images are drawn with
replacement, inside the step, which needs no order of an epoch. Adam is written out over the tree of
parameters; XLA fuses it. The state is donated, so that it is updated in place.

With one thread, XLA_FLAGS in the environment keep XLA to it. On a GPU products are in full float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bench.engines.jax_layers import network, parameters
from bench.workloads import EPS, FAKE_TARGET, IMAGES, LR, MEAN, STD, Workload, random_pixels

State = dict[str, Any]


def pack(x: Any) -> Any:
    """(B, 1) -> (1, 2B): the samples, then their squared deviations from a fixed mean."""
    row = x.reshape(1, -1)
    mean = jax.lax.stop_gradient(row.mean())
    return jnp.concatenate([row, (row - mean) ** 2], axis=1)


def bce(logits: bool, y: Any, target: float) -> Any:
    """Binary cross-entropy of logits, or of probabilities with logarithms bounded as PyTorch's."""
    if logits:
        log_p, log_q = jax.nn.log_sigmoid(y), jax.nn.log_sigmoid(-y)
    else:
        log_p, log_q = jnp.maximum(jnp.log(y), -100.0), jnp.maximum(jnp.log(1.0 - y), -100.0)
    return -(target * log_p + (1.0 - target) * log_q).mean()


def adam(betas: Sequence[float], params: Any, grads: Any, moments: Any, t: Any) -> tuple[Any, Any]:
    """One step of Adam, t from 1; the new parameters and moments."""
    (b1, b2), tree_map = betas, jax.tree_util.tree_map
    m = tree_map(lambda m, g: b1 * m + (1.0 - b1) * g, moments[0], grads)
    v = tree_map(lambda v, g: b2 * v + (1.0 - b2) * g * g, moments[1], grads)
    rate, scale = LR / (1.0 - b1**t), 1.0 / (1.0 - b2**t)
    new = tree_map(lambda p, m, v: p - rate * m / (jnp.sqrt(v * scale) + EPS), params, m, v)
    return new, (m, v)


def step(w: Workload, state: State, X: Any) -> State:
    """The state after a training step. X are the images (60000, 784); None in one dimension."""
    key, *keys = jax.random.split(state["key"], 9)
    t = state["t"] + 1.0
    generate, score = partial(network, w.G), partial(network, w.D)
    loss, update = partial(bce, w.logits), partial(adam, w.betas)
    seen = pack if w.one_dimensional else lambda x: x  # D's input for G's samples
    if w.one_dimensional:
        real = pack(MEAN + STD * jax.random.normal(keys[0], (w.batch, 1)))
    else:
        index = jax.random.randint(keys[0], (w.batch,), 0, IMAGES)  # (B,)
        real = (X[index].astype(jnp.float32) - 127.5) / 127.5

    def noise(key: Any) -> Any:
        return jax.random.uniform(key, (w.batch, w.noise), minval=w.noise_low)

    # G runs once if both halves share its samples: `pull` is its backward pass.
    fake, pull = jax.vjp(lambda G: generate(G, keys[1], noise(keys[2])), state["G"])

    def d_loss(D: Any) -> Any:
        if w.apart:
            on_real, on_fake = score(D, keys[3], real), score(D, keys[7], seen(fake))
        else:
            both = score(D, keys[3], jnp.concatenate([real, seen(fake)]))
            on_real, on_fake = both[: w.rows], both[w.rows :]
        return loss(on_real, w.real_target) + loss(on_fake, FAKE_TARGET)

    d, grads = jax.value_and_grad(d_loss)(state["D"])
    D, d_moments = update(state["D"], grads, state["d_moments"], t)

    def g_loss(fake: Any) -> Any:
        return loss(score(D, keys[4], seen(fake)), w.generator_target)

    if w.same_noise:
        g, dfake = jax.value_and_grad(g_loss)(fake)
        (grads,) = pull(dfake)
    else:
        z = noise(keys[5])
        g, grads = jax.value_and_grad(lambda G: g_loss(generate(G, keys[6], z)))(state["G"])
    G, g_moments = update(state["G"], grads, state["g_moments"], t)
    return {
        "key": key,
        "t": t,
        "G": G,
        "D": D,
        "g_moments": g_moments,
        "d_moments": d_moments,
        "losses": state["losses"] + jnp.stack([d, g]),
    }


class Jit:
    """One call of a compiled function a step."""

    def __init__(self, workload: Workload, threads: int, device: str = "cpu") -> None:
        self.w = workload
        self.on_gpu = device != "cpu"  # JAX_PLATFORMS in the environment says so
        if self.on_gpu:
            jax.config.update("jax_default_matmul_precision", "highest")
        self.chunk = self.steps_a_call()
        key = jax.random.key(0)
        G = parameters(jax.random.fold_in(key, 1), workload.G, workload.init_std)
        D = parameters(jax.random.fold_in(key, 2), workload.D, workload.init_std)

        def zeros(params: Any) -> Any:
            return jax.tree_util.tree_map(jnp.zeros_like, params)

        self.state = {
            "key": jax.random.fold_in(key, 3),
            "t": jnp.float32(0.0),
            "G": G,
            "D": D,
            "g_moments": (zeros(G), zeros(G)),
            "d_moments": (zeros(D), zeros(D)),
            "losses": jnp.zeros(2),
        }
        # (60000, 784)
        self.X = None if workload.one_dimensional else jnp.asarray(random_pixels())
        self.call = jax.jit(self.function, donate_argnums=0)

    def steps_a_call(self) -> int:
        """How many steps a call takes."""
        return 1

    def function(self, state: State, X: Any) -> State:
        """What is compiled: a step."""
        return step(self.w, state, X)

    def run(self, steps: int) -> None:
        state = self.state
        for _ in range(steps // self.chunk):
            state = self.call(state, self.X)
        self.state = jax.block_until_ready(state)

    def losses(self) -> tuple[float, float]:
        d, g = np.asarray(self.state["losses"] / self.state["t"])
        return float(d), float(g)


class Scan(Jit):
    """200 steps a call (on images 20; on a GPU 1,000 and 200), the data inside."""

    def steps_a_call(self) -> int:
        if self.on_gpu:
            return 1000 if self.w.one_dimensional else 200
        return 200 if self.w.one_dimensional else 20

    def function(self, state: State, X: Any) -> State:
        """What is compiled: `chunk` steps."""

        def body(state: State, _: None) -> tuple[State, None]:
            return step(self.w, state, X), None

        return jax.lax.scan(body, state, length=self.chunk)[0]
