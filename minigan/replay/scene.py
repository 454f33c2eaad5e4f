"""Whether a recording has what the page and the film read: its arrays, and its scene, by form.

frames.jsonl may come from elsewhere, or be damaged. frame_format.py checks what all recordings
have in common. The rest is checked here, once, so that those who draw need not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from minigan.checks import number, whole

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]  # of the arrays of a frame, by name


def check_scene(header: Mapping[str, Any]) -> None:
    """Raise one of the errors `UNEXPECTED` if a header lacks what is drawn of its form.

    Args:
        header: of a recording, as `parse_header` returns it. One of a form that is not built in
            is left to those who draw it.
    """
    shapes = {one["name"]: tuple(one["shape"]) for one in header["arrays"]}
    if header["form"] in _CHECKS:
        _CHECKS[header["form"]](header["scene"], shapes)


def _number(scene: Mapping[str, Any], shapes: Shapes) -> None:
    """See `NumberCamera`."""
    low, high = _array("span", scene["span"], 2)
    _require(low < high, f"its span is {scene['span']}")
    (K,) = shapes["density"]
    _array("density", scene["density"], K)
    for name in ("learned", "optimal"):
        _same(shapes, name, (K,))
    (n,) = shapes["before"]
    _require("push" in shapes, "it has a density without push")
    for name in ("push", "after"):
        _same(shapes, name, (n,))
    for name in ("mean", "std"):
        number(f"its {name}", scene[name])
    if "noise" in scene:
        _array("noise", scene["noise"], n)
    if "map" in shapes:
        (M,) = shapes["map"]
        for name in ("z", "exact", "exact_falling"):
            _array(name, scene[name], M)
    _discriminator(scene)


def _points(scene: Mapping[str, Any], shapes: Shapes) -> None:
    """See `PlaneCamera` and `VectorCamera`."""
    span = _array("span", scene["span"], 2, 2)
    _require(bool((span[:, 0] < span[:, 1]).all()), f"its span is {scene['span']}")
    _array("real", scene["real"], None, 2)
    if scene.get("modes") is not None:
        _array("modes", scene["modes"], None, 2)
    n, _ = shapes["after"]
    for name in ("after", "before", "push"):
        _same(shapes, name, (n, 2))
    if "field" in shapes:
        _require({"before", "push"} <= shapes.keys(), "it has a field without samples")
        rows, columns = shapes["field"]
        _require(rows == columns > 1, f"its field has the shape {shapes['field']}")
        _same(shapes, "optimal", shapes["field"])
    if "grid" in shapes:
        _, lines, along, _ = shapes["grid"]
        _same(shapes, "grid", (2, lines, along, 2))
    _discriminator(scene)


def _images(scene: Mapping[str, Any], shapes: Shapes) -> None:
    """See `ImageCamera`."""
    h, w = scene["shape"]
    whole("its height", h, 1)
    whole("its width", w, 1)
    whole("its columns", scene["columns"], 1)
    N, features = shapes["after"]
    _require(features == h * w, f"its images of {h} x {w} have {features} pixels")
    for name in ("score", "push"):
        _same(shapes, name, (N,))
    if scene["labels"] is not None:
        _array("labels", scene["labels"], N)
    _text(scene)


_CHECKS: dict[str, Callable[[Mapping[str, Any], Shapes], None]] = {
    "number": _number,
    "plane": _points,
    "vector": _points,
    "image": _images,
}


def _discriminator(scene: Mapping[str, Any]) -> None:
    """What D's outputs are, and how many samples it judges at once."""
    _text(scene)
    if scene["targets"] is not None:
        _array("targets", scene["targets"], 2)
    whole("its pack", scene["pack"], 1)


def _text(scene: Mapping[str, Any]) -> None:
    _require(isinstance(scene["output"], str), f"its output is {scene['output']!r}")


def _same(shapes: Shapes, name: str, shape: tuple[int, ...]) -> None:
    """Raise `ValueError` if an array is there, and has another shape."""
    _require(shapes.get(name, shape) == shape, f"its {name} has the shape {shapes.get(name)}")


def _array(name: str, value: Any, *shape: int | None) -> Any:
    """Nested lists of numbers of this shape, as an array; None is any size from 1."""
    found = np.array(value)  # of anything but numbers, it has another kind
    sizes = len(found.shape) == len(shape) and all(
        size == (wanted or max(size, 1)) for size, wanted in zip(found.shape, shape, strict=True)
    )
    _require(sizes and found.dtype.kind in "iuf", f"its {name} is not an array of numbers")
    _require(bool(np.abs(found).max() <= np.finfo(np.float32).max), f"its {name} is too large")
    return found


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)
