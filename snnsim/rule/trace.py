"""Run a rule's functions on symbols and keep what they did: a graph over a dozen operations.

A rule's functions know only floats and the names `exp`, `log`, `floor` and `where`. Given symbols instead of floats they leave
a trace; given floats, arrays or tensors they compute. So one definition serves the oracle, torch and every kernel.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any

import numpy as np

COMPARISONS = ("ge", "gt", "le", "lt")
OPERATIONS = {"add": 2, "sub": 2, "mul": 2, "div": 2, "power": 2, "neg": 1, "exp": 1, "log": 1, "floor": 1,
              "where": 3,
              "ge": 2, "gt": 2, "le": 2, "lt": 2}


@dataclass(frozen=True, eq=False)
class Symbol:
    """One value of a trace: a named input, a constant, or an operation on other symbols."""

    op: str  # "input", "const", "stop", "spike" or a key of OPERATIONS
    args: tuple[Symbol, ...] = ()
    name: str = ""
    value: float = 0.0

    def __add__(self, other: Any) -> Symbol: return add(self, symbol(other))
    def __radd__(self, other: Any) -> Symbol: return add(symbol(other), self)
    def __sub__(self, other: Any) -> Symbol: return sub(self, symbol(other))
    def __rsub__(self, other: Any) -> Symbol: return sub(symbol(other), self)
    def __mul__(self, other: Any) -> Symbol: return mul(self, symbol(other))
    def __rmul__(self, other: Any) -> Symbol: return mul(symbol(other), self)
    def __truediv__(self, other: Any) -> Symbol: return Symbol("div", (self, symbol(other)))
    def __rtruediv__(self, other: Any) -> Symbol: return Symbol("div", (symbol(other), self))
    def __pow__(self, other: Any) -> Symbol: return Symbol("power", (self, symbol(other)))
    def __neg__(self) -> Symbol: return const(-self.value) if self.op == "const" else Symbol("neg", (self,))
    def __ge__(self, other: Any) -> Symbol: return Symbol("ge", (self, symbol(other)))
    def __gt__(self, other: Any) -> Symbol: return Symbol("gt", (self, symbol(other)))
    def __le__(self, other: Any) -> Symbol: return Symbol("le", (self, symbol(other)))
    def __lt__(self, other: Any) -> Symbol: return Symbol("lt", (self, symbol(other)))

    def __bool__(self) -> bool:
        raise TypeError("a rule cannot branch on a value (if, and, or, not, a < b < c): write where(condition, a, b)")

    def __float__(self) -> float:
        raise TypeError("a rule cannot turn a value into a Python number: use + - * /, exp, log, floor, where and comparisons")


def const(value: float) -> Symbol:
    return Symbol("const", value=float(value))


def named(name: str) -> Symbol:
    return Symbol("input", name=name)


def symbol(value: Any) -> Symbol:
    """A symbol as it is; a number as a constant."""
    if isinstance(value, Symbol):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return const(value)
    raise TypeError(f"a rule computes with floats, not with {type(value).__name__} ({value!r})")


def is_const(s: Symbol, value: float) -> bool:
    return s.op == "const" and s.value == value


# Adjoints are full of zeros and ones: the three constructors fold the identities, and nothing else.
def add(a: Symbol, b: Symbol) -> Symbol:
    if is_const(a, 0.0):
        return b
    return a if is_const(b, 0.0) else Symbol("add", (a, b))


def sub(a: Symbol, b: Symbol) -> Symbol:
    return a if is_const(b, 0.0) else Symbol("sub", (a, b))


def mul(a: Symbol, b: Symbol) -> Symbol:
    if is_const(a, 0.0) or is_const(b, 0.0):
        return const(0.0)
    if is_const(a, 1.0):
        return b
    return a if is_const(b, 1.0) else Symbol("mul", (a, b))


def exp(x: Any) -> Any:
    """e to the power x, for a float, an array, a tensor or a symbol."""
    if isinstance(x, Symbol):
        return Symbol("exp", (x,))
    return sys.modules["torch"].exp(x) if _is_tensor(x) else np.exp(x)


def log(x: Any) -> Any:
    """The natural logarithm of x, for a float, an array, a tensor or a symbol. Clamp x above 0 where it could leave there."""
    if isinstance(x, Symbol):
        return Symbol("log", (x,))
    return sys.modules["torch"].log(x) if _is_tensor(x) else np.log(x)


def floor(x: Any) -> Any:
    """The largest whole number that is not above x, for a float, an array, a tensor or a symbol. Its derivative is taken as 1
    (straight through), so that what is rounded can be trained: Bengio, Leonard and Courville (2013)."""
    if isinstance(x, Symbol):
        return Symbol("floor", (x,))
    return sys.modules["torch"].floor(x.detach()) + (x - x.detach()) if _is_tensor(x) else np.floor(x)


def where(condition: Any, a: Any, b: Any) -> Any:
    """a where the condition holds, else b; both are always computed."""
    if isinstance(condition, Symbol) or isinstance(a, Symbol) or isinstance(b, Symbol):
        return Symbol("where", (symbol(condition), symbol(a), symbol(b)))
    if any(_is_tensor(v) for v in (condition, a, b)):
        torch = sys.modules["torch"]
        return torch.where(torch.as_tensor(condition), a, b)
    if isinstance(condition, (bool, np.bool_)):
        return a if condition else b
    return np.where(condition, a, b)


def _is_tensor(x: Any) -> bool:
    return type(x).__module__.partition(".")[0] == "torch"


def call(function: Callable[..., Any], *arguments: Any) -> tuple[Any, ...]:
    """The function's results as a tuple, also when there is one."""
    result = function(*arguments)
    return result if isinstance(result, tuple) else (result,)


def reachable(outputs: tuple[Symbol, ...], known: Container[int] = ()) -> list[Symbol]:
    """Every symbol that the outputs need, each after its arguments; nothing at or below a known id."""
    order: list[Symbol] = []
    seen: set[int] = set()

    def visit(s: Symbol) -> None:
        if id(s) in seen or id(s) in known:
            return
        seen.add(id(s))
        for a in s.args:
            visit(a)
        order.append(s)

    for output in outputs:
        visit(output)
    return order
