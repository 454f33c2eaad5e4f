"""Second order: the gradient, by the parameters, of a function of the input gradient.

Let g be the gradient of a network's output by its input. A penalty P(g) is part of the loss, so its
gradient by the parameters is needed. It takes three steps.

1. With v = dP/dg held constant, the gradient of P(g) is that of the number <v, g>. And <v, g> is
   the derivative of the output in the direction v: a sum over the rows of what a forward pass of
   *tangents* makes of v (Pearlmutter, "Fast exact multiplication by the Hessian", 1994). Layer by
   layer, with J the derivative of Y by X, and u_0 = v,

       u_out = J u_in,   for Linear   u_out = u_in W.

2. The gradient of <v, g> by u_out is the dY of the *first* backward pass, which has made g. So each
   layer's own gradient through its tangent is that of <dY, J u_in>, for Linear dW = u_in^T dY.

3. J may also depend on X: by <dY, J u_in>, X has a gradient of its own, the *curvature*. It is sent
   down by a second backward pass, the ordinary one, which meets more curvature on its way.

With ReLU and LeakyReLU alone there is no curvature, and no third step.
"""

from __future__ import annotations

from minigan.backend import Array
from minigan.errors import ConfigError
from minigan.nn.layer import Layer, LayerPass
from minigan.nn.sequential import Sequential

FORMULAS = {"forward", "backward", "apply", "apply_backward"}


class SecondOrder:
    """A network with one output, bound so that its input gradient can be differentiated.

    Args:
        net: the network. Its rows must be independent, except in packs.
        rows: the batch size B.
        condition: (B, condition features), if the network reads one.

    Raises:
        ConfigError: a layer mixes rows, or has no tangent; or there is more than one output.
    """

    def __init__(self, net: Sequential, rows: int, condition: Array | None = None) -> None:
        check_second_order(net)
        ops, dtype = net.ops, net.dtype
        self.ops = ops
        self.bound = net.bind(
            rows, condition=condition, own_gradients=True, keep_buffers=True, apart=True
        )
        self.layers = self.bound.layers
        self.dY = ops.empty(self.bound.output_shape, dtype)  # (P, 1), P = B, or B/m for packs of m
        ops.fill(1.0, out=self.dY)
        #: u of each layer's output; of the last it is not needed.
        self.tangents = [ops.empty(layer.Y.shape, dtype) for layer in self.layers[:-1]]
        has_parameters = [bool(layer.parameter_shapes()) for layer in net.layers]
        self.first = [*has_parameters, True].index(True)  # layer with parameters
        #: Like the X of each layer that has curvature, and parameters before it.
        self.curvatures = {
            i: ops.empty(layer.dX.shape, dtype)
            for i, layer in enumerate(self.layers)
            if i > self.first and has_curvature(layer)
        }

    def input_gradient(self, X: Array) -> Array:
        """g (B, in): row i is the gradient of the network's output on x_i. X is not copied."""
        self.bound.forward(X, train=True)
        g = self.bound.backward(self.dY, parameter_grads=False)
        assert g is not None
        return g

    def add_gradients(self, V: Array, out: Array) -> None:
        """Add the gradient of <V, g> by the parameters, with V (B, in) constant, to out (n,).

        g is that of the latest `input_gradient`, and is overwritten.
        """
        ops, layers, grad = self.ops, self.layers, self.bound.grad
        if self.curvatures:  # else only tangents write gradients, each time the same ones
            ops.fill(0.0, out=grad)
        U = V
        for i, layer in enumerate(layers):
            last = i + 1 == len(layers)
            dY = self.dY if last else layers[i + 1].dX  # of the first backward pass
            layer.tangent_gradients(U, dY)
            if i in self.curvatures:
                layer.curvature(U, dY, out=self.curvatures[i])
            if not last:
                layer.tangent(U, out=self.tangents[i])
                U = self.tangents[i]
        ops.add(out, grad, out=out)
        if self.curvatures:
            self._send_down()
            ops.add(out, grad, out=out)

    def _send_down(self) -> None:
        """The second backward pass: from the last layer with curvature to the first parameters."""
        ops = self.ops
        ops.fill(0.0, out=self.bound.grad)
        dY: Array = None  # there is no gradient above the last curvature
        for i in reversed(range(self.first, len(self.layers))):
            if dY is not None:
                dY = self.layers[i].backward(dY, input_grad=i > self.first)
            if i in self.curvatures:
                if dY is not None:
                    ops.add(self.curvatures[i], dY, out=self.curvatures[i])
                dY = self.curvatures[i]


def check_second_order(net: Sequential) -> None:
    """Raise `ConfigError` unless the input gradient of the network can be differentiated."""
    if net.out_features != 1:
        raise ConfigError(
            f"an input gradient needs one output, and the network has {net.out_features}"
        )
    for layer, bound in zip(net.layers, net.bind(net.rows_multiple).layers, strict=True):
        check_tangent(layer, bound)


def check_tangent(layer: Layer, bound: LayerPass) -> None:
    """Raise `ConfigError` unless a layer has a tangent, and leaves samples independent."""
    name = type(layer).__name__
    if layer.mixes_rows:
        raise ConfigError(
            f"{name} mixes the samples of a batch, so that no sample has an input gradient of its "
            "own; in a network with a gradient penalty use LayerNorm instead"
        )
    if not _has_tangent(bound):
        raise ConfigError(f"{name} has no tangent(), so its input gradient cannot be penalised")


def _has_tangent(layer: LayerPass) -> bool:
    """Whether a layer has a tangent, which a class that overrides a formula must define again."""
    for cls in type(layer).__mro__:
        if "tangent" in vars(cls):
            return cls is not LayerPass
        if vars(cls).keys() & FORMULAS:
            return False
    return False


def has_curvature(layer: LayerPass) -> bool:
    """Whether a layer has a curvature; that of others is zero."""
    return type(layer).curvature is not LayerPass.curvature
