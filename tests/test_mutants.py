"""The mutants: which faults are drawn, and what the table says of them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from mutants import __main__ as runner
from mutants.faults import KINDS, draw, faults_of
from mutants.packages import PACKAGES, ROOT, USUAL, Package


def planted(source: str, kind: str) -> set[str]:
    """The source with each fault of a kind in it, on one line."""
    code = source.encode()
    found = [fault for fault in faults_of("x.py", code) if fault.kind == kind]
    assert all(fault.file == "x.py" for fault in found)
    return {" ".join(fault.plant(code).decode().split()) for fault in found}


EXAMPLES = {
    "comparison": ("a < b", {"(a <= b)", "(a > b)", "(a >= b)"}),
    "arithmetic": ("a * (b - 1)", {"(a / (b - 1))", "(a + (b - 1))", "a * ((b + 1))"}),
    "logic": (
        "not (a and b)",
        {"(a and b)", "not (((a) or (b)))", "not (((a)))", "not (((b)))"},
    ),
    "condition": ("a if b else c", {"a if True else c", "a if False else c"}),
    "number": ("f(2, 0.5)", {"f(3, 0.5)", "f(1, 0.5)", "f(2, 1.0)", "f(2, 0.25)"}),
    "flag": ("a = True", {"a = False"}),
    "statement": ("f(x)\na.b = 1\nc = 2", {"pass a.b = 1 c = 2", "f(x) pass c = 2"}),
    "argument": ("f(a, b, out=c)", {"f(a, b)", "f(b, a, out=c)"}),
    "entry": ("x = [1, {2: 3, 4: 5}]", {"x = [{2: 3, 4: 5}]", "x = [1]", "x = [1, {4: 5}]",
                                        "x = [1, {2: 3}]"}),
    "name": ("np.min(d_steps)\nself.d_loss + self.g_loss",
             {"np.max(d_steps) self.d_loss + self.g_loss",
              "np.min(d_steps) self.g_loss + self.g_loss",
              "np.min(d_steps) self.d_loss + self.d_loss"}),
    "loop": ("for a in b:\n    f(a)", {"for a in b: f(a) break"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_faults_of_a_kind(kind):
    source, expected = EXAMPLES[kind]
    assert planted(source, kind) == expected


def test_messages_and_annotations_are_left_alone():
    """Docstrings, annotations, messages, and names that another file asks for."""
    source = b'''
"""A module. 1 + 1"""
from a import b
__all__ = ["b", "c"]
if TYPE_CHECKING:
    from d import e
class C:
    """Words."""
    def __repr__(self):
        return f"{1 + 1}"
def f(x: tuple[int, str]) -> dict[int, str]:
    """f(x) = 1"""
    log.warning("%s", 1 + 1)
    zip(x, x, strict=True)
'''
    kinds = {(fault.kind, fault.summary(source)) for fault in faults_of("x.py", source)}
    assert kinds == {("statement", 'log.warning("%s", 1 + 1) -> pass'),
                     ("statement", "zip(x, x, strict=True) -> pass")}  # fmt: skip


def test_a_long_change_is_shortened():
    source = b"for a in b:\n    " + b"f(a, b, c, d)\n    " * 9
    (fault,) = (fault for fault in faults_of("x.py", source) if fault.kind == "loop")
    assert len(fault.summary(source)) < 200
    assert fault.summary(source).endswith("break")


FILES = ("minigan/gan/losses.py", "minigan/gan/noise.py", "minigan/training/schedule.py")
SOURCES = {file: (ROOT / file).read_bytes() for file in FILES}


def test_a_sample_is_decided_by_its_seed():
    sample = draw(SOURCES, 30, 7)
    assert sample == draw(SOURCES, 30, 7)
    assert sample != draw(SOURCES, 30, 8)
    assert len(sample) == len({(fault.file, fault.line) for fault in sample}) == 30
    kinds = [fault.kind for fault in sample]
    assert len(set(kinds)) >= 7
    assert max(kinds.count(kind) for kind in KINDS) < 10
    for fault in sample:
        compile(fault.plant(SOURCES[fault.file]), fault.file, "exec")


def test_every_file_has_a_wing_and_every_wing_its_tests():
    package = ROOT / "minigan"
    guarded = [path for package in PACKAGES.values() for path in package.sources(ROOT)]
    assert len(guarded) == len(set(guarded))
    doors = {package / name for name in ("__init__.py", "__main__.py", "version.py")}
    exercises = set((package / "lessons" / "exercises").glob("*.py"))
    assert set(package.rglob("*.py")) - set(guarded) == doors | exercises
    for package in PACKAGES.values():
        for name in package.tests:
            assert (ROOT / "tests" / name).exists(), name
    assert set(USUAL) < set(PACKAGES)


@pytest.fixture
def house(tmp_path, monkeypatch) -> Path:
    """A checkout with one package, one function, and a test that looks at half of it."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    (tmp_path / "minigan").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "minigan" / "__init__.py").write_text("")
    (tmp_path / "minigan" / "x.py").write_text(
        "def f(a):\n    seen = 3\n    other = 5\n    return seen\n"
    )
    (tmp_path / "tests" / "test_x.py").write_text(
        "from minigan.x import f\ndef test_f():\n    assert f(1) == 3\n"
    )
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)  # of a hook, which means another repository
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    monkeypatch.setattr(runner, "ROOT", tmp_path)
    monkeypatch.setattr(runner, "KEPT", tmp_path / "build")
    monkeypatch.setattr(runner, "PACKAGES", {"x": Package(("x.py",), ("test_x.py",))})
    monkeypatch.setattr("sys.argv", ["mutants", "--packages", "x", "--sample", "9", "--jobs", "1"])
    return tmp_path


def test_survivors_are_listed_and_known_results_are_kept(house, capsys, monkeypatch):
    source = (house / "minigan" / "x.py").read_bytes()
    assert runner.main() == 0
    out = capsys.readouterr().out
    assert "test_x.py::test_f" in out
    assert "| x | 2 | 1 | 50 % |" in out
    assert "| minigan/x.py:3 | number | `5 -> " in out
    assert (house / "minigan" / "x.py").read_bytes() == source
    monkeypatch.setattr(runner.Copy, "run", lambda *args: 1 / 0)
    assert runner.main() == 0
    assert capsys.readouterr().out.strip() == out[out.index("| package") :].strip()
    with (house / "tests" / "test_x.py").open("a") as file:
        file.write("# another test\n")
    with pytest.raises(ZeroDivisionError):  # the results were of another tree
        runner.main()


def test_tests_that_fail_without_a_fault_end_it(house):
    (house / "tests" / "test_x.py").write_text("def test_f():\n    assert 0\n")
    with pytest.raises(SystemExit, match=r"x: test_x\.py::test_f fails without a fault"):
        runner.main()


def test_a_fault_that_never_ends_is_noticed_by_the_time(house, monkeypatch):
    (house / "minigan" / "x.py").write_text("def f(a):\n    while a < 0: a += 1\n    return 3\n")
    copy = runner.Copy(house / "copy", runner.checkout())
    (fault,) = (
        fault
        for fault in faults_of("minigan/x.py", (house / "minigan" / "x.py").read_bytes())
        if fault.text == "(a >= 0)"
    )
    result = copy.try_out("x", fault, 2.0)
    assert (result.noticed, result.place) == ("time", "minigan/x.py:2")
    assert copy.run("x")[0] == ""
