"""Every small change of a module that might be a bug: its mutants.

A comparison is moved by its boundary or turned round, a number grows by one, `and` becomes `or`, a
condition its opposite, a sum a difference, an answer None; a statement is left out, two arguments
change places. Annotations, docstrings, assertions and messages stay as they are.
"""

import ast
import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

COMPARISONS: Final[Mapping[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
SUMS: Final[Mapping[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd,
}


class Mutant(NamedTuple):
    """One change: where, from what to what, and the module that has it."""

    line: int
    before: str
    after: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module, in the order of its lines."""
    tree = ast.parse(source)
    places = [(number, node) for number, node in enumerate(ast.walk(tree))]
    skipped = set(map(id, _left_alone(tree)))
    changes = [
        (node, number, kind)
        for number, node in places
        if id(node) not in skipped
        for kind in range(len(_changed(node)))
    ]
    for node, number, kind in sorted(changes, key=lambda each: getattr(each[0], "lineno", 0)):
        changed_tree = copy.deepcopy(tree)
        target = list(ast.walk(changed_tree))[number]
        replacement = _changed(target)[kind]
        _Replace(target, replacement).visit(changed_tree)
        text = ast.unparse(ast.fix_missing_locations(changed_tree))
        yield Mutant(getattr(node, "lineno", 0), ast.unparse(node), ast.unparse(replacement), text)


def _left_alone(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield what no mutant changes, with all that is in it."""
    for node in ast.walk(tree):
        for part in _declarations(node):
            yield from ast.walk(part)


def _declarations(node: ast.AST) -> Sequence[ast.AST]:
    """Return what of a node is said to readers, to types, or by what can never happen."""
    match node:
        case ast.Assert() | ast.JoinedStr() | ast.Raise() | ast.Expr(value=ast.Constant()):
            return [node]
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            arguments = [*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs]
            annotations = [node.returns, *(each.annotation for each in arguments)]
            return [*node.decorator_list, *(each for each in annotations if each is not None)]
        case ast.AnnAssign(annotation=annotation):
            return [annotation]
        case ast.ClassDef(keywords=keywords):
            return keywords
        case ast.Assign(targets=[ast.Name()], value=ast.Subscript()):
            return [node]  # A name for a type.
        case _:
            return []


def _changed(node: ast.AST) -> Sequence[ast.AST]:  # noqa: PLR0911  a row of a table each
    """Return what may stand in the place of a node."""
    match node:
        case ast.Compare(left=left, ops=[first, *rest], comparators=comparators):
            other = COMPARISONS[type(first)]()
            return [ast.Compare(left=left, ops=[other, *rest], comparators=comparators)]
        case ast.BoolOp(op=op, values=values):
            return [
                ast.BoolOp(op=ast.Or() if isinstance(op, ast.And) else ast.And(), values=values)
            ]
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return [operand]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in SUMS:
            return [ast.BinOp(left=left, op=SUMS[type(op)](), right=right)]
        case ast.Constant(value=bool(value)):
            return [ast.Constant(value=not value)]
        case ast.Constant(value=int(value)):
            return [ast.Constant(value=value + 1)]
        case _:
            return _of_statement(node)


def _of_statement(node: ast.AST) -> Sequence[ast.AST]:  # noqa: PLR0911  likewise
    match node:
        case ast.Return(value=value) if value is not None and not _is_none(value):
            return [ast.Return(value=ast.Constant(value=None))]
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign() | ast.Continue():
            return [ast.Pass()]
        case ast.If(test=test, body=body, orelse=orelse):
            other = ast.UnaryOp(op=ast.Not(), operand=test)
            return [ast.If(test=other, body=body, orelse=orelse)]
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return [ast.IfExp(test=test, body=orelse, orelse=body)]
        case ast.Call(func=ast.Name(id="max" | "min")):
            return []
        case ast.Call(func=func, args=[first, second, *rest], keywords=keywords) if not isinstance(
            first, ast.Starred
        ) and not isinstance(second, ast.Starred):
            return [ast.Call(func=func, args=[second, first, *rest], keywords=keywords)]
        case _:
            return []


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


class _Replace(ast.NodeTransformer):
    """Puts one node in the place of another."""

    def __init__(self, target: ast.AST, replacement: ast.AST) -> None:
        self._target, self._replacement = target, replacement

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self._target:
            return self._replacement
        return super().generic_visit(node)
