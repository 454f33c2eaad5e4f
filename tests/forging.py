"""Run folders of a stranger: any value forged, every signature right, every command tried.

A forgery is a list of changes `(part, place, value)`:

    ("recipe", ("gan", "noise", "dim"), 10**400)      in recipe.json and in the checkpoint's copy
    ("metadata", ("counters", "step"), MISSING)       in the checkpoint alone
    ("tensor", "generator/0.weight", array)           None takes it out
    ("file", "history.csv", b"...")                   a file of the folder

`Raw` is JSON as it stands, such as `NaN` or `[[[[`. `forge` makes the folder, `drive` tries it.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import importlib.util
import io
import json
import logging
import os
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import safetensors.numpy

import minigan as mg
from minigan.cli.main import main as minigan
from minigan.experiment import Experiment
from minigan.training.checkpoint import _MARK, _ZEROS, KEY

MISSING = ...  # as a value: the place is taken out
EXAMPLES = Path(__file__).parent.parent / "examples"
Change = tuple[str, Any, Any]


class Raw(str):
    """JSON, written as it stands."""


def experiment(name: str) -> Experiment:
    """The experiment of an example."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.get(spec.name) or importlib.util.module_from_spec(spec)
    if spec.name not in sys.modules:
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    made: Experiment = module.experiment
    return made


def genuine(name: str, out: Path, *flags: str, steps: int = 4) -> Path:
    """The folder of a run of an example that has `steps` steps behind it, and some before it."""
    ours = experiment(name)
    args = ours.parse([*flags, "--out", str(out), "--threads", "1"])
    with contextlib.redirect_stdout(io.StringIO()):
        trainer, _ = ours._started(args)
    assert trainer is not None
    trainer.progress = False
    trainer.fit(steps=steps - 1, threads=1)
    trainer.fit(steps=steps, threads=1)
    return out


def description_of(folder: Path) -> dict[str, Any]:
    """The content of recipe.json."""
    found: dict[str, Any] = json.loads((folder / "recipe.json").read_text())
    return found


def state_of(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and metadata of the checkpoint."""
    data = (folder / "checkpoint.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return safetensors.numpy.load(data), json.loads(header["__metadata__"][KEY])


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where there is a value in JSON: () is all of it."""
    yield at
    inside: Any = value.items() if isinstance(value, dict) else ()
    for key, one in enumerate(value) if isinstance(value, list) else inside:
        yield from places(one, (*at, key))


def put(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """The value with something else at a place."""
    if not place:
        return new
    at = value
    for key in place[:-1]:
        at = at[key]
    if new is MISSING:
        del at[place[-1]]
    else:
        at[place[-1]] = new
    return value


def dumps(value: Any) -> str:
    """JSON, in which `Raw` stands as it is."""
    raws: list[str] = []

    def marked(one: Any) -> Any:
        if isinstance(one, Raw):
            raws.append(one)
            return f"@raw{len(raws) - 1}@"
        if isinstance(one, dict):
            return {key: marked(inner) for key, inner in one.items()}
        return [marked(inner) for inner in one] if isinstance(one, list) else one

    text = json.dumps(marked(value))
    for i, raw in enumerate(raws):
        text = text.replace(f'"@raw{i}@"', raw)
    return text


def sign(tensors: dict[str, Any], metadata: Any) -> bytes:
    """A checkpoint whose SHA-256 is right, of any tensors and metadata."""
    if isinstance(metadata, dict):
        metadata = {key: one for key, one in metadata.items() if key != "sha256"}
    text = f'{{"sha256": "{_ZEROS}", {dumps(metadata).lstrip()[1:]}'
    data = safetensors.numpy.save(tensors, metadata={KEY: text})
    place = data.index(_MARK) + len(_MARK)
    return data[:place] + hashlib.sha256(data).hexdigest().encode() + data[place + 64 :]


def forge(source: Path, out: Path, *changes: Change) -> Path:
    """A copy of a run folder with these changes, signed."""
    shutil.copytree(source, out)
    description = description_of(source)
    tensors, metadata = state_of(source)
    files = {}
    for part, place, value in changes:
        value = copy.deepcopy(value) if value is not MISSING else MISSING
        if part == "recipe":
            description = put(description, place, value)
        elif part == "tensor":
            tensors.pop(place, None)
            if value is not None:
                tensors[place] = value
        elif part == "file":
            files[place] = value
    metadata["run"] = copy.deepcopy(description)
    metadata["run_sha256"] = hashlib.sha256(dumps(description).encode()).hexdigest()
    if isinstance(description, dict) and isinstance(description.get("gan"), dict):
        metadata["loss"] = copy.deepcopy(description["gan"].get("loss"))
    for part, place, value in changes:
        if part == "metadata":
            metadata = put(metadata, place, value)
    (out / "recipe.json").write_text(dumps(description))
    signed = sign(tensors, metadata)
    for name in ("checkpoint", "checkpoint-previous", "best"):
        (out / f"{name}.safetensors").write_bytes(signed)
    for name, content in files.items():
        (out / name).write_bytes(content)
    return out


def drive(folder: Path, name: str, skip: Sequence[str] = (), all_of_them: bool = True) -> list[str]:
    """Try every command on a run folder of an example; the findings, one text each.

    Args:
        folder: the run folder. The last commands train in it.
        name: of the example.
        skip: do not try these. Training to the end and drawing takes longest: "resume".
        all_of_them: if not, and `load_run` refuses the folder, leave out the commands that begin
            with `load_run`.
    """
    run, made = str(folder), folder.parent / f"{folder.name}-made"
    made.mkdir(exist_ok=True)
    ours = experiment(name)
    resume = ["--resume", "--out", run, "--threads", "1"]
    images = name in ("mnist", "dcgan")
    with_load_run: dict[str, Callable[[], Any]] = {
        "sample": lambda: minigan(["sample", run, "--n", "4", "--out", f"{made}/s.npy"]),
        "picture": lambda: minigan(["sample", run, "--n", "4", "--out", f"{made}/s.png"]),
        "best": lambda: minigan(["sample", run, "--n", "4", "--best", "--out", f"{made}/b.npy"]),
        "interpolate": lambda: minigan(
            ["interpolate", run, "--rows", "2", "--steps", "3", "--out", f"{made}/i.npy"]
        ),
        "score": lambda: 0 if images else minigan(["score", run, "--n", "50"]),
        "export": lambda: minigan(["export", run, "--to", "pytorch", f"{made}/e.safetensors"]),
        "explain": lambda: minigan(["explain", run]),
        "explain previous": lambda: minigan(["explain", run, "--previous"]),
        "profile": lambda: minigan(["profile", run, "--steps", "2", "--threads", "1"]),
    }
    calls: dict[str, Callable[[], Any]] = {
        "load_run": lambda: _done(mg.load_run(folder).gan.sample(3, seed=0)),
        "show": lambda: minigan(["show", run]),
        **({} if _refused(folder) and not all_of_them else with_load_run),
        "read_history": lambda: _done(mg.read_history(folder / "history.csv")),
        "Trainer.resume": lambda: _train(folder, images),
        "dry": lambda: ours.main([*resume, "--dry-run"]),
        "resume": lambda: ours.main(resume),
    }
    found = []
    for title, call in calls.items():
        if title not in skip:
            finding = _outcome(call)
            if finding:
                found.append(f"{title}: {finding}")
    shutil.rmtree(made, ignore_errors=True)
    return found


def _refused(folder: Path) -> bool:
    """Whether `load_run` refuses the folder in a sentence."""
    try:
        mg.load_run(folder)
    except mg.MiniganError:
        return True
    except Exception:  # a finding
        return False
    return False


def _done(value: object) -> None:
    """What an API call returns is of no interest."""


def _train(folder: Path, images: bool) -> None:
    """Two more steps, in memory of the folder alone."""
    data = mg.Images.of(mg.load_images("digits")) if images else None
    trainer = mg.Trainer.resume(folder, data=data, progress=False)
    trainer.description(), repr(trainer.gan), trainer.gan.losses()


def _outcome(call: Callable[[], Any]) -> str:
    """What is wrong with the outcome of a call; "" if nothing is."""
    out, err = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(err)
    logging.getLogger("minigan").addHandler(handler)
    code: Any = None
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            code = call()
    except mg.MiniganError as error:
        code = str(error)
    except SystemExit as error:
        return f"SystemExit {error}"
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        at = traceback.extract_tb(error.__traceback__)
        ours = [f"{Path(f.filename).name}:{f.lineno}" for f in at if "minigan" in f.filename]
        return f"{type(error).__name__}: {str(error)[:100]} ({' '.join(ours[-4:])})"
    finally:
        logging.getLogger("minigan").removeHandler(handler)
    if isinstance(code, str):  # a function's error
        return "more than one sentence" if len(code.splitlines()) > 1 else ""
    text = out.getvalue() + err.getvalue()
    if os.environ.get("FORGING_SHOWS"):
        sys.__stderr__.write(f"[{code}] {text}\n")
    odd = sorted({c for c in text if not c.isprintable() and c != "\n"})
    if odd:
        return f"control characters {odd}"
    if code in (1, 2):
        last = err.getvalue().splitlines()[-1:]
        if not last or len(last[0]) > 2000:
            return f"exit code {code}, and no short sentence"
        if code == 1 and "stopped" not in last[0]:
            return f"exit code 1: {last[0][:100]}"
    elif isinstance(code, int) and code != 0:
        return f"exit code {code}"
    return ""


def quiet_threads() -> None:
    """One thread for BLAS, before it is loaded."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
