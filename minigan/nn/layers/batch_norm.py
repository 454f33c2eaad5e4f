"""Batch normalisation: each channel gets mean 0 and variance 1, then a learned shift and scale.

    m = mean of x over the batch,   v = mean of (x - m)^2
    n = (x - m) / sqrt(v + eps),    y = gamma n + beta

A row of the output depends on all rows of the input, through m and v, and so does the gradient:

    dbeta = sum of dy,   dgamma = sum of dy n
    dx = gamma / sqrt(v + eps) (dy - dbeta / N - n dgamma / N)

Training uses the statistics of the batch, and moves running statistics towards them. Evaluation
uses the running statistics, which are constants there. So each row is evaluated independently.

Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing internal
covariate shift", 2015, section 3 and algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

from minigan.backend import Array, Backend, Stream
from minigan.backend.share import Team
from minigan.checks import number, set_fields, whole
from minigan.config import register
from minigan.errors import ShapeError
from minigan.nn.layer import Binding, LayerPass, Shape
from minigan.nn.layers.normalisation import Normalisation


@register
@dataclass(frozen=True)
class BatchNorm(Normalisation):
    """y = gamma (x - m) / sqrt(v + eps) + beta, with m and v of each channel.

    For rows of features X (B, c) each feature is a channel, and m is the mean of N = B numbers. For
    images X (B, h w c), m is the mean over all N = B h w pixels. Y has the shape of X.

    Args:
        channels: c, >= 1; the features must be a multiple of it.
        eps: added to the variance, > 0.
        momentum: of the running statistics, in [0, 1]: running = (1 - momentum) running + momentum
            times the batch's. The running variance gets v N / (N - 1), which is unbiased; the batch
            is normalised by v itself. Both are as in PyTorch.

    Raises:
        ConfigError: an invalid setting.
    """

    _: KW_ONLY
    eps: float = 1e-5
    momentum: float = 0.1
    mixes_rows = True
    mixes_rows_in_evaluation = False

    def __post_init__(self) -> None:
        set_fields(
            self,
            channels=whole("BatchNorm: channels", self.channels, 1),
            eps=number("BatchNorm: eps", self.eps, above=0.0),
            momentum=number("BatchNorm: momentum", self.momentum, at_least=0.0, at_most=1.0),
        )

    def buffer_shapes(self) -> dict[str, Shape]:
        return {"running_mean": (1, self.channels), "running_variance": (1, self.channels)}

    def pytorch(self) -> str:
        settings = f"{self.channels}, eps={self.eps}, momentum={self.momentum}"
        return f"torch.nn.BatchNorm1d({settings})"

    def initialise(self, ops: Backend, stream: Stream, tensors: Mapping[str, Array]) -> None:
        ops.fill(1.0, out=tensors["gamma"])
        ops.fill(1.0, out=tensors["running_variance"])

    def bind(self, binding: Binding) -> BatchNormPass:
        return BatchNormPass(self, binding)


class BatchNormPass(LayerPass):
    capturable = True

    def __init__(self, layer: BatchNorm, binding: Binding) -> None:
        super().__init__(binding)
        rows, features = self.Y.shape[-2:]
        c = layer.channels
        self.count = rows * (features // c)  # N
        self.eps = layer.eps
        self.momentum = layer.momentum
        self.gamma, self.beta = binding.parameters["gamma"], binding.parameters["beta"]  # (1, c)
        self.dgamma, self.dbeta = binding.gradients["gamma"], binding.gradients["beta"]  # (1, c)
        self.running_mean = binding.buffers["running_mean"]  # (1, c)
        self.running_variance = binding.buffers["running_variance"]  # (1, c)
        self.normalised = binding.empty(self.count, c)  # (N, c)
        self.mean = binding.empty(1, c)  # (1, c), of the latest forward
        self.variance = binding.empty(1, c)  # (1, c), of the latest forward
        # Of the formula of dX, which may be wanted without the gradients of gamma and beta.
        self.sums = binding.empty(1, c), binding.empty(1, c)  # (1, c), dgamma and dbeta
        self.row = binding.empty(1, c)  # (1, c), a temporary
        self.team = binding.team
        share = None if self.team is None else self.team.share
        self.total = self.count if share is None else self.count * share.batch // share.rows

    def forward(self, X: Array, train: bool) -> Array:
        """n = (X - m) / sqrt(v + eps),   Y = gamma n + beta"""
        if train:
            if self.total < 2:
                raise ShapeError(
                    "BatchNorm was given a batch of one number per channel in training, which has "
                    "no variance; train on at least two rows, or evaluate with predict(X)"
                )
            self.ops.batch_statistics(X, self.mean, self.variance)
            if self.team is not None:
                self._average_statistics(self.team)
            unbiased = self.total / (self.total - 1)
            self.update_running(self.running_mean, self.mean, 1.0)
            self.update_running(self.running_variance, self.variance, unbiased)
        else:
            self.ops.copy(self.running_mean, out=self.mean)
            self.ops.copy(self.running_variance, out=self.variance)
        self.ops.normalise(
            *(X, self.mean, self.variance, self.gamma, self.beta, self.eps),
            normalised=self.normalised,
            out=self.Y,
        )
        return self.Y

    def _average_statistics(self, team: Team) -> None:
        """From the statistics of each process's rows to those of the batch.

        m is the average of the means m_own, and v that of v_own + (m_own - m)^2.
        """
        ops, distance = self.ops, self.row  # (1, c)
        ops.negate(self.mean, out=distance)
        team.average(self.mean)
        ops.add(distance, self.mean, out=distance)
        ops.multiply(distance, distance, out=distance)
        ops.add(self.variance, distance, out=self.variance)
        team.average(self.variance)

    def update_running(self, running: Array, value: Array, factor: float) -> None:
        """running = (1 - momentum) running + momentum factor value"""
        self.ops.scale(running, 1.0 - self.momentum, out=running)
        self.ops.scale(value, self.momentum * factor, out=self.row)
        self.ops.add(running, self.row, out=running)

    def backward(
        self, dY: Array, *, parameter_grads: bool = True, input_grad: bool = True
    ) -> Array | None:
        """dX = gamma / sqrt(v + eps) (dY - dbeta / N - n dgamma / N)"""
        dgamma, dbeta = self.sums
        if parameter_grads or self.train:
            self.ops.normalise_gradients(dY, self.normalised, dgamma, dbeta)
        if parameter_grads:
            self.ops.copy(dgamma, out=self.dgamma)
            self.ops.copy(dbeta, out=self.dbeta)
        if self.train and self.team is not None:  # dX depends on the sums over the whole batch
            self.team.average(dgamma)
            self.team.average(dbeta)
        if not input_grad:
            return None
        if not self.train:  # nothing flows through constant statistics
            self.ops.fill(0.0, out=dgamma)
            self.ops.fill(0.0, out=dbeta)
        self.ops.normalise_backward(
            *(dY, self.normalised, self.variance, self.gamma, self.eps, dgamma, dbeta),
            out=self.dX,
        )
        return self.dX
