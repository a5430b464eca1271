"""Expressions over the values of a moment: a small part of Python's syntax, and none of its power.

    meta.pending_tokens > 8000 and archives["archive_001"].state != "completed"
    any(tail["*"].role == ...)          is not there; write  count(tail["*"].role, "tool") > 3

There are paths (`eventlog.forensics.paths`, keys in quotes), ``["*"]`` for the list of what is below
all entries, constants, comparisons, ``and``, ``or``, ``not``, ``+ - * / // %`` on numbers below 2⁶³,
``len any all min max sum`` of one list, and ``count(list, value)``. The syntax is read by `ast` and
compiled here, so nothing else can be reached: no attribute of an object, no call, no name but the
values'. An evaluation ends after `STEPS` steps.

What is not there is None. None, and a division by zero, compare with nothing: ``<`` is false.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast

from eventlog.errors import InvalidArgument
from eventlog.forensics.paths import child, children
from eventlog.forensics.picture import MISSING_ROOT, ROOTS, Values
from eventlog.session.views import META_FIELDS, SessionMeta

if TYPE_CHECKING:
    from collections.abc import Sized

__all__ = ["LENGTH", "STEPS", "Expression", "compile_expression"]

LENGTH: Final = 1_000
"""Characters of an expression."""

STEPS: Final = 100_000
"""Steps of one evaluation: values visited, and every 64 characters or entries that are compared."""

DEPTH: Final = 50
"""How deep an expression may be nested."""

BOUND: Final = 1 << 63
"""Numbers are below it, and above its negative."""

GRAIN: Final = 64

_ALL: Final = "*"


class Budget:
    """What is left of the steps of one evaluation."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = STEPS

    def spend(self, steps: int = 1) -> None:
        self.left -= steps
        if self.left < 0:
            raise InvalidArgument(
                f"the expression takes more than {STEPS:,} steps at one moment; ask for less at once"
            )


Evaluate: TypeAlias = Callable[[Mapping[str, Any], Budget], Any]


class Expression(NamedTuple):
    """A compiled expression."""

    text: str
    roots: frozenset[str]
    """The values that it looks at, of `ROOTS`."""
    evaluate: Evaluate

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Return whether it is true of values; raise `InvalidArgument` for what it cannot do."""
        return bool(self.evaluate(values, Budget()))

    def watch(self) -> Callable[[object, Mapping[str, Any]], bool]:
        """Return `holds` for one fold, which calls it with each record and the values after that."""
        evaluate, budget = self.evaluate, Budget()

        def look(record: object, values: Mapping[str, Any]) -> bool:
            budget.left = STEPS
            return bool(evaluate(values, budget))

        return look

    def value(self, values: Mapping[str, Any]) -> Any:
        """Return its value."""
        return self.evaluate(values, Budget())


def compile_expression(text: str) -> Expression:
    """Compile an expression; raise `InvalidArgument`, naming what is not part of the language."""
    if len(text) > LENGTH:
        raise InvalidArgument(
            f"the expression has {len(text):,} characters, allowed are {LENGTH:,}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        problem = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        raise InvalidArgument(f"{text!r:.120} is not an expression ({problem})") from error
    compiler = _Compiler()
    evaluate = compiler.compile(tree.body, 0)
    return Expression(text, frozenset(compiler.roots), evaluate)


class _Compiler:
    """Turns the nodes that the language has into functions, and refuses all others."""

    def __init__(self) -> None:
        self.roots: set[str] = set()

    def compile(self, node: ast.expr, depth: int) -> Evaluate:
        if depth > DEPTH:
            raise InvalidArgument(
                f"the expression is nested deeper than {DEPTH}; write less at once"
            )
        depth += 1
        match node:
            case ast.Constant():
                return _constant(node)
            case ast.Name() | ast.Attribute() | ast.Subscript():
                return self._path(node, depth)
            case ast.BoolOp(op=op, values=values):
                parts = [self.compile(value, depth) for value in values]
                return _all_of(parts) if isinstance(op, ast.And) else _any_of(parts)
            case ast.UnaryOp(op=op, operand=operand):
                return _unary(op, self.compile(operand, depth))
            case ast.BinOp(left=left, op=op, right=right):
                return _arithmetic(op, self.compile(left, depth), self.compile(right, depth))
            case ast.Compare(left=left, ops=ops, comparators=others):
                operands = [self.compile(each, depth) for each in (left, *others)]
                return _comparison([_comparing(op) for op in ops], operands)
            case ast.Call():
                return self._call(node, depth)
            case _:
                raise _not_in_it(type(node).__name__)

    def _call(self, node: ast.Call, depth: int) -> Evaluate:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if node.keywords or name not in (*_OF_LIST, "count"):
            raise _not_in_it(f"a call of {name or 'something'}")
        if len(node.args) != (2 if name == "count" else 1):
            raise InvalidArgument(f"{name} takes a list{', and a value' * (name == 'count')}")
        given = [self.compile(each, depth) for each in node.args]
        if name == "count":
            return _count(*given)
        return _of_list(name, given[0])

    def _path(self, node: ast.expr, depth: int) -> Evaluate:
        """Compile a chain of names and keys, from its end to its beginning."""
        names: list[str] = []
        while not isinstance(node, ast.Name):
            if isinstance(node, ast.Attribute):
                names.append(node.attr)
                node = node.value
            elif isinstance(node, ast.Subscript):
                names.append(_key(node.slice))
                node = node.value
            else:
                raise _not_in_it("a path that begins with a value")
        root = node.id
        names.reverse()
        if root not in ROOTS:
            raise InvalidArgument(MISSING_ROOT.format(root, ", ".join(ROOTS)))
        if root == "meta" and names and names[0] not in (*SessionMeta._fields, _ALL):
            raise InvalidArgument(
                f"meta has no {names[0]!r:.80}; it has {', '.join(SessionMeta._fields)}"
            )
        self.roots.add(root)
        return _follow(root, names)


def _not_in_it(what: str) -> InvalidArgument:
    return InvalidArgument(
        f"{what} is not part of the expressions here; there are paths, constants, comparisons, and, "
        "or, not, + - * / // %, len any all min max sum, and count(list, value)"
    )


def _key(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise InvalidArgument('a key is a text in quotes, such as tail["m-1"]; lists go by id')


# ---- what the nodes do ------------------------------------------------------------------------


def _constant(node: ast.Constant) -> Evaluate:
    value = node.value
    if not (value is None or isinstance(value, (str, bool, int, float))):
        raise _not_in_it(f"the constant {value!r:.40}")
    if isinstance(value, (int, float)):
        value = _bounded(value)
    return lambda values, budget: value


def _follow(root: str, names: list[str]) -> Evaluate:
    if root == "meta" and len(names) == 1 and names[0] != _ALL:
        return _field_of_meta(names[0])

    def evaluate(values: Mapping[str, Any], budget: Budget) -> Any:
        return _reached(values[root], names, 0, budget)

    return evaluate


def _field_of_meta(name: str) -> Evaluate:
    """Return what `_follow` does for the paths that are asked for most."""
    of_state = META_FIELDS[name]

    def evaluate(values: Mapping[str, Any], budget: Budget) -> Any:
        budget.spend()
        if type(values) is Values:  # As its own look-ups do; three calls less.
            return of_state(values.session)
        return values["meta"][name]

    return evaluate


def _reached(value: Any, names: list[str], place: int, budget: Budget) -> Any:
    for at in range(place, len(names)):
        is_list = isinstance(value, (list, tuple))
        budget.spend(1 + len(cast("Sized", value)) // GRAIN if is_list else 1)
        if names[at] == _ALL:
            found = children(value) or {}
            budget.spend(len(found))
            return [_reached(each, names, at + 1, budget) for each in found.values()]
        value = child(value, names[at])
    return value


def _all_of(parts: list[Evaluate]) -> Evaluate:
    return lambda values, budget: all(_truth(part(values, budget)) for part in parts)


def _any_of(parts: list[Evaluate]) -> Evaluate:
    return lambda values, budget: any(_truth(part(values, budget)) for part in parts)


def _truth(value: Any) -> bool:
    return bool(value)


def _unary(op: ast.unaryop, operand: Evaluate) -> Evaluate:
    if isinstance(op, ast.Not):
        return lambda values, budget: not _truth(operand(values, budget))
    if isinstance(op, (ast.USub, ast.UAdd)):
        negative = isinstance(op, ast.USub)

        def evaluate(values: Mapping[str, Any], budget: Budget) -> Any:
            value = operand(values, budget)
            if value is None:
                return None
            number = _number(value)
            return -number if negative else number

        return evaluate
    raise _not_in_it(type(op).__name__)


_OPERATORS: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,  # pyright: ignore[reportUnknownMemberType] - untyped in typeshed
    ast.FloorDiv: operator.floordiv,  # pyright: ignore[reportUnknownMemberType] - as above
    ast.Mod: operator.mod,
}


def _arithmetic(op: ast.operator, left: Evaluate, right: Evaluate) -> Evaluate:
    apply = _OPERATORS.get(type(op))
    if apply is None:
        raise _not_in_it(type(op).__name__)

    def evaluate(values: Mapping[str, Any], budget: Budget) -> Any:
        budget.spend()
        first, second = left(values, budget), right(values, budget)
        if first is None or second is None:
            return None
        try:
            return _bounded(apply(_number(first), _number(second)))
        except ZeroDivisionError:
            return None
        except OverflowError:
            raise _too_large() from None

    return evaluate


def _number(value: Any) -> int | float:
    if isinstance(value, (int, float)):
        return value
    raise InvalidArgument(f"{value!r:.40} is not a number, so it cannot be calculated with")


def _bounded(value: Any) -> Any:
    if not -BOUND < value < BOUND:  # Which no NaN is, either.
        raise _too_large()
    return value


def _too_large() -> InvalidArgument:
    return InvalidArgument("a number in the expression is beyond 2**63")


Comparing: TypeAlias = Callable[[Any, Any, Budget], bool]


def _equal(first: Any, second: Any, budget: Budget) -> bool:
    budget.spend(1 + _size(first) // GRAIN)
    return bool(first == second)


def _within(first: Any, second: Any, budget: Budget) -> bool:
    if second is None:
        return False
    if isinstance(second, str):
        if not isinstance(first, str):
            raise InvalidArgument(f"{first!r:.40} cannot be in a text")
        # At the worst each place is compared with all of the text that is looked for.
        budget.spend(1 + len(second) // GRAIN * (1 + len(first) // GRAIN))
        return first in second
    if isinstance(second, Mapping):
        return isinstance(first, str) and first in second
    if isinstance(second, (list, tuple)):
        entries = cast("Sequence[Any]", second)
        return any(_equal(each, first, budget) for each in entries)
    raise InvalidArgument(f"nothing can be in {second!r:.40}")


def _ordered(compare: Callable[[Any, Any], bool]) -> Comparing:
    def evaluate(first: Any, second: Any, budget: Budget) -> bool:
        if type(first) is int and type(second) is int:
            budget.spend()
            return compare(first, second)
        budget.spend(1 + min(_size(first), _size(second)) // GRAIN)
        if first is None or second is None:
            return False
        both = (first, second)
        if all(isinstance(each, str) for each in both) or all(
            isinstance(each, (int, float)) for each in both
        ):
            return compare(first, second)
        raise InvalidArgument(f"{first!r:.40} and {second!r:.40} cannot be put in order")

    return evaluate


def _not(compare: Comparing) -> Comparing:
    return lambda first, second, budget: not compare(first, second, budget)


_COMPARISONS: Final[dict[type[ast.cmpop], Comparing]] = {
    ast.Eq: _equal,
    ast.NotEq: _not(_equal),
    ast.Lt: _ordered(operator.lt),
    ast.LtE: _ordered(operator.le),
    ast.Gt: _ordered(operator.gt),
    ast.GtE: _ordered(operator.ge),
    ast.In: _within,
    ast.NotIn: _not(_within),
    ast.Is: _equal,
    ast.IsNot: _not(_equal),
}


def _comparing(op: ast.cmpop) -> Comparing:
    return _COMPARISONS[type(op)]


def _comparison(compares: list[Comparing], operands: list[Evaluate]) -> Evaluate:
    if len(compares) == 1:
        (compare,), (first, second) = compares, operands
        return lambda values, budget: compare(first(values, budget), second(values, budget), budget)

    def evaluate(values: Mapping[str, Any], budget: Budget) -> bool:
        left = operands[0](values, budget)
        for compare, operand in zip(compares, operands[1:], strict=True):
            right = operand(values, budget)
            if not compare(left, right, budget):
                return False
            left = right
        return True

    return evaluate


# ---- lists ------------------------------------------------------------------------------------


def _size(value: Any) -> int:
    """Return how much there is to compare of a value, as far as it takes a while."""
    if isinstance(value, (int, float)) or value is None:
        return 0
    left, size = [value], 0
    while left and size < STEPS * GRAIN:
        found = left.pop()
        if isinstance(found, str):
            size += len(found)
        elif isinstance(found, (list, tuple)):
            size += GRAIN * len(cast("Sized", found))
            left += cast("Sequence[Any]", found)
        elif isinstance(found, Mapping):
            size += GRAIN * len(cast("Sized", found))
            left += cast("Mapping[str, Any]", found).values()
    return size


def _list(name: str, value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return list(cast("Sequence[Any]", value))
    if value is None:
        return []
    raise InvalidArgument(f'{name} takes a list, such as tail["*"].role')


def _total(entries: list[Any]) -> Any:
    total: Any = 0
    for entry in entries:
        if entry is not None:
            total = _bounded(total + _number(entry))
    return total


def _extreme(choose: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
    def extreme(entries: list[Any]) -> Any:
        known = [entry for entry in entries if entry is not None]
        numbers = all(isinstance(entry, (int, float)) for entry in known)
        if not numbers and not all(isinstance(entry, str) for entry in known):
            raise InvalidArgument("min and max take a list of numbers, or one of texts")
        return choose(known) if known else None

    return extreme


_OF_LIST: Final[dict[str, Callable[[list[Any]], Any]]] = {
    "len": len,
    "any": any,
    "all": all,
    "min": _extreme(min),
    "max": _extreme(max),
    "sum": _total,
}


def _of_list(name: str, given: Evaluate) -> Evaluate:
    apply = _OF_LIST[name]

    def evaluate(values: Mapping[str, Any], budget: Budget) -> Any:
        value = given(values, budget)
        if name == "len" and isinstance(value, (str, Mapping)):
            budget.spend()
            return len(cast("Sized", value))
        entries = _list(name, value)
        budget.spend(1 + len(entries))
        if name in ("min", "max"):
            budget.spend(_size(entries) // GRAIN)
        return apply(entries)

    return evaluate


def _count(given: Evaluate, wanted: Evaluate) -> Evaluate:
    def evaluate(values: Mapping[str, Any], budget: Budget) -> int:
        entries, value = _list("count", given(values, budget)), wanted(values, budget)
        budget.spend(1 + len(entries))
        return sum(_equal(entry, value, budget) for entry in entries)

    return evaluate
