"""Draw a sample of faults, run each on the tests of its package, and list those not noticed.

Every fault is planted in a copy of the checkout, so the working tree stays as it is. What is known
already is kept in build/mutants/, so a run that was interrupted continues where it was; the results
of other faults, or of a tree that has changed since, are not taken.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from mutants.faults import Fault, draw
from mutants.packages import PACKAGES, ROOT, USUAL

T = TypeVar("T")

KEPT = ROOT / "build" / "mutants"
MEMORY = 12 << 30  # bytes of address space for the tests of one fault (POSIX)
#: The same examples each time, and one BLAS thread for each of the faults that run side by side.
#: No bytecode, which would hide a fault of the same size that is planted in the same second.
ENVIRONMENT = {
    "HYPOTHESIS_PROFILE": "ci",
    "OMP_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTEST_ADDOPTS": "",
}
PATIENCE = 3.0  # times as long as the tests take without a fault, then it counts as noticed


@dataclasses.dataclass(frozen=True)
class Result:
    """What the tests of a package said to one fault.

    Attributes:
        package: whose.
        place, kind, change: of the fault.
        noticed: the first test that failed, "time" if they did not end, "" if all passed.
        seconds: how long they took.
    """

    package: str
    place: str
    kind: str
    change: str
    noticed: str
    seconds: float

    @property
    def key(self) -> tuple[str, str, str]:
        """By which a result is known to be of a fault."""
        return self.package, self.place, self.change


class Copy:
    """A copy of the checkout in which one fault at a time is planted."""

    def __init__(self, folder: Path, files: Sequence[str]) -> None:
        self.root = folder
        self.process: subprocess.Popen[str] | None = None  # the latest
        for name in files:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)

    def try_out(self, package: str, fault: Fault, limit: float) -> Result:
        """Run the package's tests with the fault in it."""
        path = self.root / fault.file
        source = path.read_bytes()
        path.write_bytes(fault.plant(source))
        try:
            noticed, seconds = self.run(package, limit)
        finally:
            path.write_bytes(source)
        change = fault.summary(source)
        return Result(package, fault.place, fault.kind, change, noticed, seconds)

    def run(self, package: str, limit: float | None = None) -> tuple[str, float]:
        """The first of the package's tests that fails, "" if none does; and the seconds it took."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=no"]
        command += ["--color=no", "-p", "no:cacheprovider", "-p", "no:xdist"]
        command += [f"tests/{name}" for name in PACKAGES[package].tests]
        started = time.perf_counter()
        with subprocess.Popen(
            command,
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": str(self.root)} | ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # so that what the tests have started ends with them
        ) as process:
            self.process = process
            _limit(process)
            try:
                out, _ = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                return "time", time.perf_counter() - started
            finally:
                _end(process)
        seconds = time.perf_counter() - started
        if process.returncode == 0:
            return "", seconds
        failed = re.search(r"^(?:FAILED|ERROR) tests/(\S+)", out, re.MULTILINE)
        return failed[1] if failed else f"exit code {process.returncode}", seconds


def _limit(process: subprocess.Popen[str]) -> None:
    """A fault may ask for any amount of memory; on Linux it does not get it."""
    if sys.platform == "linux":
        import resource

        with contextlib.suppress(OSError, ValueError):  # it has ended, or may have less already
            resource.prlimit(process.pid, resource.RLIMIT_AS, (MEMORY, MEMORY))


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and what it has started."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def sample(packages: Sequence[str], count: int, seed: int) -> list[tuple[str, Fault]]:
    """About `count` faults, spread evenly over packages; the same ones for a seed and a tree."""
    chosen = []
    for i, package in enumerate(packages):
        share = count // len(packages) + (i < count % len(packages))
        sources = {
            path.relative_to(ROOT).as_posix(): path.read_bytes()
            for path in PACKAGES[package].sources(ROOT)
        }
        chosen += [(package, fault) for fault in draw(sources, share, f"{seed}/{package}")]
    return chosen


def checkout() -> list[str]:
    """The files of the working tree that git knows or would know."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    environment = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def fingerprint(files: Sequence[str]) -> str:
    """A hash of the package and its tests: results are of this tree."""
    digest = hashlib.sha256()
    for name in sorted(files):
        if name.startswith(("minigan/", "tests/", "examples/", "pyproject.toml")):
            digest.update(name.encode() + b"\0" + (ROOT / name).read_bytes())
    return digest.hexdigest()[:16]


def table(results: Sequence[Result]) -> str:
    """Noticed and not, a line per package; then what got past."""
    lines = ["| package | faults | noticed | |", "|---|---:|---:|---:|"]
    for package in dict.fromkeys(result.package for result in results):
        lines.append(_line(package, [result for result in results if result.package == package]))
    lines.append(_line("all", results))
    past = [result for result in results if not result.noticed]
    if past:
        lines += ["", "| got past | kind | change |", "|---|---|---|"]
        for result in past:
            change = result.change.replace("|", "\\|")
            lines.append(f"| {result.place} | {result.kind} | `{change}` |")
    return "\n".join(lines)


def _line(name: str, results: Sequence[Result]) -> str:
    noticed = sum(bool(result.noticed) for result in results)
    return f"| {name} | {len(results)} | {noticed} | {100 * noticed / len(results):.0f} % |"


def run_all(
    todo: Sequence[tuple[str, Fault]],
    jobs: int,
    files: Sequence[str],
    found: Callable[[Result], None],
) -> None:
    """Try out every fault, on some copies at a time.

    Args:
        todo: packages and faults.
        jobs: copies of the checkout.
        files: what is copied.
        found: called with each result as it comes.

    Raises:
        SystemExit: the tests of a package fail without a fault.
    """
    with (
        tempfile.TemporaryDirectory(prefix="minigan-mutants-") as place,
        concurrent.futures.ThreadPoolExecutor(jobs) as pool,
    ):
        copies: queue.Queue[Copy] = queue.Queue()
        made = [Copy(Path(place) / str(k), files) for k in range(jobs)]
        for copy in made:
            copies.put(copy)

        def on_a_copy(method: Callable[..., T], *args: object) -> T:
            copy = copies.get()
            try:
                return method(copy, *args)
            finally:
                copies.put(copy)

        try:
            usual = {}  # seconds without a fault
            packages = sorted({package for package, _ in todo})
            runs = {pool.submit(on_a_copy, Copy.run, package): package for package in packages}
            for done in concurrent.futures.as_completed(runs):
                failed, usual[runs[done]] = done.result()
                if failed:
                    raise SystemExit(f"{runs[done]}: {failed} fails without a fault")
                print(f"{runs[done]}: {usual[runs[done]]:.0f} s without a fault", flush=True)
            running = [
                pool.submit(on_a_copy, Copy.try_out, package, fault, PATIENCE * usual[package] + 20)
                for package, fault in todo
            ]
            for one in concurrent.futures.as_completed(running):
                found(one.result())
        except BaseException:  # Ctrl-C, say
            pool.shutdown(wait=False, cancel_futures=True)  # first, or those that end begin others
            for copy in made:
                if copy.process is not None:
                    _end(copy.process)
            raise


def positive(text: str) -> int:
    """A flag's integer >= 1."""
    if (value := int(text)) < 1:
        raise ValueError
    return value


def main() -> int:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("--packages", nargs="+", choices=PACKAGES, default=USUAL)
    parser.add_argument("--sample", type=positive, default=100, help="faults (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--jobs", type=positive, default=os.cpu_count() or 1, help="at a time")
    parser.add_argument("--list", action="store_true", help="show the faults, run nothing")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C

    chosen = {}  # what a result says of its fault: the package and the fault
    for package, fault in sample(args.packages, args.sample, args.seed):
        change = fault.summary((ROOT / fault.file).read_bytes())
        chosen[package, fault.place, change] = (package, fault)
        if args.list:
            print(f"{package:<11}{fault.place}  {fault.kind}: {change}")
    if args.list:
        return 0

    files = checkout()
    KEPT.mkdir(parents=True, exist_ok=True)
    kept = KEPT / f"seed{args.seed}-{fingerprint(files)}.jsonl"
    known: dict[tuple[str, str, str], Result] = {}
    if kept.exists():
        for line in kept.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError, TypeError):  # a line that was being written
                result = Result(**json.loads(line))
                known[result.key] = result

    def found(result: Result) -> None:
        known[result.key] = result
        with kept.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(dataclasses.asdict(result)))
        print(
            f"{result.noticed or '*** NOT NOTICED':<60.60} {result.seconds:4.0f} s  "
            f"{result.place}  {result.kind}: {result.change}",
            flush=True,
        )

    todo = [one for key, one in chosen.items() if key not in known]
    try:
        if todo:
            run_all(todo, args.jobs, files, found)
    except KeyboardInterrupt:
        print("interrupted; the same command continues from here", file=sys.stderr)
        return 130
    print("", table([known[key] for key in chosen]), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
