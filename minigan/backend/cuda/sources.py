"""The CUDA sources as text, and what their kernels take."""

from __future__ import annotations

import functools
import re

#: What is compiled together as one text, in order: once for each dtype, with `-DREAL=float` or
#: `-DREAL=double`.
FILES = (
    *("common.cuh", "random.cu", "elementwise.cu", "reductions.cu", "optimizers.cu"),
    *("normalisation.cu", "layer_norm.cu", "penalties.cu", "matmul.cu", "convolution.cu"),
)
_DECLARATION = r"KERNEL\s+(?:__launch_bounds__\([\w, ]+\)\s+)?(\w+)\(([^)]*)\)"


def source(*names: str) -> str:
    """The text of these files, one after the other; compiler errors name the file and line."""
    from importlib import resources  # slow to import, and only needed when CUDA is used

    folder = resources.files(__package__) / "kernels"
    return "".join(
        f'#line 1 "{name}"\n{(folder / name).read_text(encoding="utf-8")}\n' for name in names
    )


@functools.cache
def signatures() -> dict[str, dict[str, str]]:
    """What the kernels take: kernel -> parameter -> type, such as "const real *".

    A kernel is declared in its source as `KERNEL name(parameters)`, or by a macro that makes such a
    declaration and is called as `MACRO(name, formula, further parameters)`.
    """
    # without comments and line continuations
    text = re.sub(r"[ \t]*//.*|\\$", "", source(*FILES), flags=re.MULTILINE)
    declared = dict(re.findall(rf"^{_DECLARATION}", text, re.MULTILINE))
    macros = re.findall(rf"^#define (\w+)\(name.*\n\s*{_DECLARATION}", text, re.MULTILINE)
    for macro, _, parameters in macros:
        for name, rest in re.findall(rf"^{macro}\((\w+), ([^;]*?)\)$", text, re.MULTILINE):
            further = re.findall(r"\b(?:real|u32) \w+", rest)  # no formula declares anything
            declared[name] = re.sub(r"(##)?__VA_ARGS__", ", ".join(further), parameters)
    return {
        name: dict(_parameter(one.strip()) for one in parameters.split(",") if one.strip())
        for name, parameters in declared.items()
    }


def _parameter(declaration: str) -> tuple[str, str]:
    """("X", "const real *") of "const real *X"."""
    kind, _, name = declaration.rpartition(" ")
    return name.lstrip("*"), kind.strip() + " *" * name.startswith("*")
