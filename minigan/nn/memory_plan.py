"""Who may write over whom.

An activation may write its output over its input, which saves memory and time. That is safe when
no backward needs the overwritten values: see `in_place`, `needs` and `keeps_signs` of `Layer`.
"""

from __future__ import annotations

from collections.abc import Sequence

from minigan.nn.layer import Layer, Needs


def shared_outputs(layers: Sequence[Layer]) -> list[bool]:
    """Of each layer: whether its output Y takes the place of its input.

    A layer writes over its input if it can, and if every layer that shares the buffer can
    still run backward: it needs nothing of its output, or only signs, which are kept.
    """
    shares = []
    needs = Needs.VALUES  # the network's input belongs to the caller
    for layer in layers:
        over = layer.in_place and (
            needs is Needs.NOTHING or (needs is Needs.SIGNS and layer.keeps_signs)
        )
        needs = max(needs, layer.needs) if over else layer.needs
        shares.append(over)
    return shares


def shared_gradients(layers: Sequence[Layer]) -> list[bool]:
    """Of each layer: whether dX takes the place of its dY; not if that dY is the caller's."""
    return [layer.in_place and i + 1 < len(layers) for i, layer in enumerate(layers)]
