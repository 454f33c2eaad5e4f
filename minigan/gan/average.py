"""The moving average of a network's weights.

The two players of a GAN circle around their equilibrium rather than settle on it. The average of
the latest part of the orbit lies nearer to the centre than any point of it (Yazici et al., "The
unusual effectiveness of averaging in GAN training", 2019).
"""

from __future__ import annotations

from typing import ClassVar

from minigan.backend.float_errors import ignore_float_errors
from minigan.checks import number
from minigan.fixed import Fixed
from minigan.nn import Sequential


class MovingAverage(Fixed):
    """average = d average + (1 - d) weights, with d = min(decay, (1 + t) / (10 + t)).

    Args:
        net: the network that is trained.
        decay: in [0, 1); 0.999 averages about the last 1,000 updates. Since d rises as
            (1 + t) / (10 + t), a decay above 1 - 9 / (T + 9) makes no difference in T updates.

    Attributes:
        network: a network of the same layers whose parameters are the average. Its buffers are its
            own: a forward pass in training mode updates its running statistics.
    """

    fixed: ClassVar[dict[str, str]] = dict.fromkeys(
        ("net", "ops", "decay", "network", "clock"), "make another GAN, with another average"
    )

    def __init__(self, net: Sequential, decay: float) -> None:
        self.net = net
        self.ops = net.ops
        self.decay = number("moving average: decay", decay, at_least=0.0, below=1.0)
        self.network = net.astype(net.dtype)
        self.clock = self.ops.zeros((1,), "float64")  # (1,): updates so far

    @ignore_float_errors
    def update(self) -> None:
        """Fold the current weights into the average."""
        flat = self.net.parameters
        data, average = flat.own_of(flat.data, self.network.parameters.data)
        self.ops.moving_average(data, average, self.clock, self.decay)
