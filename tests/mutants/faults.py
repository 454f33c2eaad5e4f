"""What a fault is: one small change of a source file, of a kind that people make.

Each kind is a function that looks at one node of the syntax tree and yields the texts that could
stand in its place. Messages, annotations and docstrings are left alone, since a change there is
no fault.
"""

from __future__ import annotations

import ast
import difflib
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Fault(NamedTuple):
    """A text that stands in the place of another.

    Attributes:
        file: relative to the checkout, with forward slashes.
        line: of the first change, counted from 1.
        kind: such as "number".
        start, end: the place, in bytes of the file.
        text: what stands there instead.
    """

    file: str
    line: int
    kind: str
    start: int
    end: int
    text: str

    @property
    def place(self) -> str:
        """File and line, such as "minigan/nn/optim.py:40"."""
        return f"{self.file}:{self.line}"

    def plant(self, source: bytes) -> bytes:
        """The source with the fault in it."""
        return source[: self.start] + self.text.encode() + source[self.end :]

    def summary(self, source: bytes) -> str:
        """The change on one line: what was there -> what is there."""
        was, now = source[self.start : self.end].decode().split(), self.text.split()
        while len(was) > MOST_WORDS and was and was[:1] == now[:1]:
            was, now = was[1:], now[1:]
        while len(was) > MOST_WORDS and was[-1:] == now[-1:]:
            was, now = was[:-1], now[:-1]
        return f"{' '.join(was) or '(nothing)'} -> {' '.join(now) or '(nothing)'}"


Node = ast.AST
Texts = Iterator[str]

COMPARISONS = {
    ast.Lt: ("<=", ">", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<", "<="),
    ast.GtE: (">", "<"),
    ast.Eq: ("!=", "<=", ">="),
    ast.NotEq: ("==", "<", ">"),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
}
ARITHMETIC = {
    ast.Add: ("-",),
    ast.Sub: ("+",),
    ast.Mult: ("/", "+"),
    ast.Div: ("*",),
    ast.FloorDiv: ("*", "%"),
    ast.Mod: ("//",),
    ast.Pow: ("*",),
    ast.BitAnd: ("|",),
    ast.BitOr: ("&",),
    ast.LShift: (">>",),
    ast.RShift: ("<<",),
}
#: Functions and methods that are taken for each other.
TWINS = [
    ("min", "max"),
    ("any", "all"),
    ("minimum", "maximum"),
    ("argmin", "argmax"),
    ("add", "subtract"),
    ("multiply", "divide"),
    ("greater", "greater_equal"),
    ("sin", "cos"),
    ("mean", "sum"),
    ("std", "var"),
    ("log", "log1p"),
    ("exp", "expm1"),
    ("float32", "float64"),
]
OTHER = {a: b for pair in TWINS for a, b in (pair, pair[::-1])}
MOST_WORDS = 12  # of a change, before what both texts share is left out
#: Functions whose first two arguments may be exchanged.
SYMMETRIC = ("add", "multiply", "maximum", "minimum", "max", "min", "equal", "suppress")
ALIKE = 0.6  # from this likeness on, one name is taken for another


def comparison(node: Node, scope: Scope) -> Texts:
    """Another comparison: a boundary that is off by one, the wrong side."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        left, right = scope.operand(node.left), scope.operand(node.comparators[0])
        for other in COMPARISONS[type(node.ops[0])]:
            yield f"({left} {other} {right})"


def arithmetic(node: Node, scope: Scope) -> Texts:
    """Another operation."""
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        left, right = scope.operand(node.left), scope.operand(node.right)
        for other in ARITHMETIC[type(node.op)]:
            yield f"({left} {other} {right})"
    if isinstance(node, ast.AugAssign) and type(node.op) in ARITHMETIC:
        for other in ARITHMETIC[type(node.op)]:
            yield f"{scope.text(node.target)} {other}= {scope.text(node.value)}"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield scope.text(node.operand)


def logic(node: Node, scope: Scope) -> Texts:
    """`and` for `or`, a condition that is not asked, a `not` too few."""
    if isinstance(node, ast.BoolOp):
        own, other = (" and ", " or ") if isinstance(node.op, ast.And) else (" or ", " and ")
        values = [f"({scope.text(value)})" for value in node.values]
        yield f"({other.join(values)})"
        for i in range(len(values)):
            yield f"({own.join(values[:i] + values[i + 1 :])})"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield f"({scope.text(node.operand)})"


def condition(node: Node, scope: Scope) -> Texts:
    """A branch that is always taken, or never."""
    if isinstance(scope.parent(node), (ast.If, ast.IfExp)) and node is scope.parent(node).test:
        yield "True"
        yield "False"


def number(node: Node, scope: Scope) -> Texts:
    """One more, one less, another factor."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        yield str(node.value + 1)
        yield f"({node.value - 1})" if node.value < 1 else str(node.value - 1)
    if isinstance(node, ast.Constant) and type(node.value) is float:
        yield repr(node.value * 2 if node.value else 1.0)
        yield repr(node.value / 2 if node.value else -1.0)


def flag(node: Node, scope: Scope) -> Texts:
    """True for False, and the other way round."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield str(not node.value)


def statement(node: Node, scope: Scope) -> Texts:
    """What is left out: a call, an attribute that is not set, a way out that is not taken."""
    alone = (ast.Attribute, ast.Subscript)
    if (
        (isinstance(node, ast.Expr) and isinstance(node.value, (ast.Call, ast.Yield)))
        or (isinstance(node, ast.Assign) and isinstance(node.targets[0], alone))
        or (isinstance(node, (ast.AugAssign, ast.Raise, ast.Continue, ast.Break, ast.Delete)))
    ):
        yield "pass"


def argument(node: Node, scope: Scope) -> Texts:
    """A named argument that is forgotten, two others exchanged."""
    if not isinstance(node, ast.Call):
        return
    function = scope.text(node.func)
    if function in ("isinstance", "getattr"):
        return
    positional = [scope.text(value) for value in node.args]
    named = [scope.text(keyword) for keyword in node.keywords]
    for i, keyword in enumerate(node.keywords):
        if keyword.arg != "strict":
            rest = ", ".join([*positional, *named[:i], *named[i + 1 :]])
            yield f"{function}({rest})"
    if any(isinstance(value, ast.Starred) for value in node.args):
        return
    for i in range(function.split(".")[-1] in SYMMETRIC, len(positional) - 1):
        swapped = positional.copy()
        swapped[i : i + 2] = swapped[i + 1], swapped[i]
        yield f"{function}({', '.join([*swapped, *named])})"


def entry(node: Node, scope: Scope) -> Texts:
    """An entry of a list, a tuple or a dictionary that is forgotten."""
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)) and len(node.elts) > 1:
        if isinstance(node, (ast.List, ast.Tuple)) and isinstance(node.ctx, ast.Store):
            return
        if isinstance(scope.parent(node), ast.Subscript):
            return
        left, right = {ast.List: "[]", ast.Tuple: "()", ast.Set: "{}"}[type(node)]
        entries = [scope.text(value) for value in node.elts]
        for i in range(len(entries)):
            rest = entries[:i] + entries[i + 1 :]
            end = "," if isinstance(node, ast.Tuple) else ""
            yield f"{left}{', '.join(rest)}{end}{right}"
    if isinstance(node, ast.Dict) and len(node.values) > 1:
        pairs = [
            f"{scope.text(key)}: {scope.text(value)}" if key else f"**{scope.text(value)}"
            for key, value in zip(node.keys, node.values, strict=True)
        ]
        for i in range(len(pairs)):
            yield f"{{{', '.join(pairs[:i] + pairs[i + 1 :])}}}"


def name(node: Node, scope: Scope) -> Texts:
    """A name that is like another: fake for real, g_steps for d_steps, maximum for minimum."""
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        base = scope.text(node.value)
        if node.attr in OTHER:
            yield f"{base}.{OTHER[node.attr]}"
        for other in scope.attributes(base):
            if other != node.attr and alike(other, node.attr):
                yield f"{base}.{other}"
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        if node.id in OTHER:
            yield OTHER[node.id]
        for other in scope.names(node):
            if other != node.id and alike(other, node.id):
                yield other


def loop(node: Node, scope: Scope) -> Texts:
    """A loop that ends after its first turn."""
    if isinstance(node, (ast.For, ast.While)) and not node.orelse:
        yield f"{scope.text(node)}\n{' ' * node.body[-1].col_offset}break"


def alike(one: str, other: str) -> bool:
    return difflib.SequenceMatcher(None, one, other).ratio() >= ALIKE


KINDS: dict[str, Callable[[Node, Scope], Texts]] = {
    kind.__name__: kind
    for kind in (
        comparison,
        arithmetic,
        logic,
        condition,
        number,
        flag,
        statement,
        argument,
        entry,
        name,
        loop,
    )
}


class Scope:
    """A source file with what the kinds ask about it."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.tree = ast.parse(source)
        self._lines = [0]  # where each line begins, in bytes
        for line in source.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))
        self._parents = {
            child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)
        }
        self._attributes: dict[str, set[str]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute):
                self._attributes.setdefault(self.text(node.value), set()).add(node.attr)

    def place(self, node: Node) -> tuple[int, int]:
        """Where a node begins and ends, in bytes."""
        return (
            self._lines[node.lineno - 1] + node.col_offset,
            self._lines[node.end_lineno - 1] + node.end_col_offset,
        )

    def text(self, node: Node) -> str:
        """A node as it is written."""
        start, end = self.place(node)
        return self.source[start:end].decode()

    def operand(self, node: Node) -> str:
        """A node as it is written, in the brackets that it may have had."""
        text = self.text(node)
        return text if isinstance(node, (ast.Name, ast.Attribute, ast.Constant)) else f"({text})"

    def parent(self, node: Node) -> Node | None:
        """The node around it."""
        return self._parents.get(node)

    def attributes(self, base: str) -> list[str]:
        """All attributes that the file asks of this expression."""
        return sorted(self._attributes.get(base, ()))

    def names(self, node: ast.Name) -> list[str]:
        """The arguments and variables of the function that are there before this node."""
        around = self.parent(node)
        while around is not None and not isinstance(around, ast.FunctionDef):
            around = self.parent(around)
        if around is None:
            return []
        found = {argument.arg for argument in ast.walk(around) if isinstance(argument, ast.arg)}
        found |= {
            other.id
            for other in ast.walk(around)
            if isinstance(other, ast.Name)
            and isinstance(other.ctx, ast.Store)
            and other.lineno < node.lineno
        }
        return sorted(found)

    def nodes(self) -> Iterator[Node]:
        """What can be at fault: no docstrings, annotations, messages, imports or lists of names."""
        todo: list[Node] = [self.tree]
        while todo:
            node = todo.pop()
            if hasattr(node, "lineno"):
                yield node
            todo += [child for child in ast.iter_child_nodes(node) if not self._is_message(child)]

    def _is_message(self, node: Node) -> bool:
        parent = self.parent(node)
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.JoinedStr, ast.Global, ast.arg)):
            return True
        if isinstance(node, ast.expr) and node in (
            getattr(parent, "annotation", None),
            getattr(parent, "returns", None),
        ):
            return True
        if isinstance(node, ast.FunctionDef) and node.name in ("__repr__", "__str__"):
            return True
        if isinstance(node, ast.Call) and isinstance(parent, ast.Raise):
            return True  # its message; leaving out the whole `raise` is a fault of kind "statement"
        if isinstance(node, ast.Call) and self.text(node.func).startswith("log."):
            return True
        if isinstance(node, ast.keyword) and node.arg == "strict":
            return True  # of zip: an assertion
        if isinstance(node, ast.If) and self.text(node.test) == "TYPE_CHECKING":
            return True
        return isinstance(node, ast.Assign) and self.text(node.targets[0]) == "__all__"


def faults_of(file: str, source: bytes) -> list[Fault]:
    """Every fault of every kind that a file can have, in the order of the file."""
    scope = Scope(source)
    found = set()
    for node in scope.nodes():
        start, end = scope.place(node)
        for kind, make in KINDS.items():
            for text in make(node, scope):
                if text.encode() != source[start:end]:
                    found.add(Fault(file, node.lineno, kind, start, end, text))
    return sorted(found)


def draw(sources: dict[str, bytes], count: int, seed: int | str) -> list[Fault]:
    """A sample of faults, no two on one line, each kind as likely as any other.

    Args:
        sources: file name -> content.
        count: how many; fewer if there are fewer lines.
        seed: of the choice.
    """
    dice = random.Random(seed)
    left: dict[str, list[Fault]] = {}
    for file, source in sorted(sources.items()):
        for fault in faults_of(file, source):
            left.setdefault(fault.kind, []).append(fault)
    for faults in left.values():
        dice.shuffle(faults)
    chosen: list[Fault] = []
    taken = set()
    while len(chosen) < count and left:
        kind = dice.choice(sorted(left))
        fault = left[kind].pop()
        if not left[kind]:
            del left[kind]
        planted = fault.plant(sources[fault.file])
        if (fault.file, fault.line) not in taken and _is_new(planted, sources[fault.file]):
            taken.add((fault.file, fault.line))
            chosen.append(fault)
    return sorted(chosen)


def _is_new(planted: bytes, source: bytes) -> bool:
    """Whether it is Python, and not the same program in other words."""
    try:
        return ast.dump(ast.parse(planted)) != ast.dump(ast.parse(source))
    except SyntaxError:
        return False
