"""The CUDA sources, as text. They lie beside this file, one subject each.

A module of kernels is several of them compiled as one text, for one dtype:
`-DREAL=float` or `-DREAL=double`.
"""

from __future__ import annotations

from importlib import resources

#: What is compiled together, in order.
MODULES = {
    "kernels": (
        "common.cuh",
        "random.cu",
        "elementwise.cu",
        "reductions.cu",
        "optimizers.cu",
        "matmul.cu",
    ),
    "gaussian1d": ("common.cuh", "random.cu", "gaussian1d.cu"),
}


def source(*names: str) -> str:
    """The text of these files, one after the other; a compiler's complaints name each by name."""
    folder = resources.files(__name__)
    return "".join(
        f'#line 1 "{name}"\n{(folder / name).read_text(encoding="utf-8")}\n' for name in names
    )
