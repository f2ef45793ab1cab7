"""Numbers with engineering suffixes, and the arithmetic of .param lines, by a small parser: nothing is evaluated as
code.

A number may carry a suffix T G MEG X K M U N P F (M is milli, X is MEG) and then a unit, which is ignored: `2.5pH`. A letter
that is both is the suffix, as in JoSIM: 2F is 2 femto. Operators: + - * / ^ (or **), brackets; functions and constants below.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

SUFFIXES = {"T": 12, "G": 9, "MEG": 6, "X": 6, "K": 3, "M": -3, "U": -6, "N": -9, "P": -12, "F": -15}  # powers of ten
UNITS = ("S", "V", "A", "H", "F", "HZ", "OHM")
PHI0 = 2.067833848e-15  # Wb, h / 2e
BOLTZMANN = 1.380649e-23  # J/K
CONSTANTS = {"PI": math.pi, "PHI_ZERO": PHI0, "BOLTZMANN": BOLTZMANN}
FUNCTIONS: dict[str, tuple[int, Callable[..., float]]] = {
    "SIN": (1, math.sin), "COS": (1, math.cos), "TAN": (1, math.tan), "ASIN": (1, math.asin), "ACOS": (1, math.acos),
    "ATAN": (1, math.atan), "SINH": (1, math.sinh), "COSH": (1, math.cosh), "TANH": (1, math.tanh), "SQRT": (1, math.sqrt),
    "EXP": (1, math.exp), "LN": (1, math.log), "LOG": (1, math.log), "LOG10": (1, math.log10), "ABS": (1, abs),
    "FLOOR": (1, math.floor), "CEIL": (1, math.ceil), "MIN": (2, min), "MAX": (2, max), "POW": (2, math.pow),
}
DEEPEST = 40  # nested brackets and signs
TOKEN = re.compile(r"\s*(?:((?:\d+\.?\d*|\.\d+)(?:E[+-]?\d+)?)([A-Z]*)|([A-Z_][A-Z0-9_]*)|(\*\*|[-+*/^(),]))", re.ASCII)

Names = Mapping[str, float] | Callable[[str], float]


def evaluate(text: str, names: Names = {}) -> float:  # noqa: B006 (it is only read)
    """The value of an expression. names: what a name in it stands for, in capitals: a mapping, or a function that raises
    KeyError.

    Errors: ValueError that says what cannot be read, what is unknown, or that the value is not a finite number.
    """
    reader = _Reader(text.upper(), names if callable(names) else names.__getitem__)
    try:
        value = reader.sum(0)
    except (ArithmeticError, TypeError) as e:
        raise ValueError(f"{text!r} has no value: {e}") from None
    if reader.next is not None:
        raise ValueError(f"{text!r} cannot be read from {reader.next[1]!r} on")
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is {value}, which is not a finite number")
    return value


class _Reader:
    """Recursive descent: sum > product > power > sign > atom."""

    def __init__(self, text: str, names: Callable[[str], float]) -> None:
        self.text, self.at, self.names = text, 0, names
        self.next = self._token()

    def _token(self) -> tuple[str, str] | None:
        found = TOKEN.match(self.text, self.at)
        if found is None:
            if self.text[self.at:].strip():
                raise ValueError(f"{self.text!r} cannot be read from {self.text[self.at:].strip()!r} on")
            return None
        self.at = found.end()
        number, suffix, name, sign = found.groups()
        if number is not None:
            return "number", number + " " + suffix
        return ("name", name) if name is not None else ("sign", sign)

    def take(self) -> tuple[str, str]:
        if self.next is None:
            raise ValueError(f"{self.text!r} ends too early")
        token, self.next = self.next, self._token()
        return token

    def follows(self, *signs: str) -> bool:
        return self.next is not None and self.next[0] == "sign" and self.next[1] in signs

    def sum(self, depth: int) -> float:
        if depth > DEEPEST:
            raise ValueError(f"{self.text[:40]!r}... is nested deeper than {DEEPEST} brackets")
        value = self.product(depth)
        while self.follows("+", "-"):
            value = value + self.product(depth) if self.take()[1] == "+" else value - self.product(depth)
        return value

    def product(self, depth: int) -> float:
        value = self.signed(depth)
        while self.follows("*", "/"):
            value = value * self.signed(depth) if self.take()[1] == "*" else value / self.signed(depth)
        return value

    def signed(self, depth: int) -> float:
        if depth > DEEPEST:
            raise ValueError(f"{self.text[:40]!r}... is nested deeper than {DEEPEST} brackets")
        if self.follows("+", "-"):
            return self.signed(depth + 1) if self.take()[1] == "+" else -self.signed(depth + 1)
        base = self.atom(depth)
        if self.follows("^", "**"):
            self.take()
            value = base ** self.signed(depth + 1)
            if isinstance(value, complex):
                raise ArithmeticError(f"{base:g} cannot be raised to a fraction")
            return float(value)
        return base

    def atom(self, depth: int) -> float:
        kind, text = self.take()
        if kind == "number":
            return _number(text)
        if kind == "name" and self.follows("("):
            return self.call(text, depth)
        if kind == "name":
            return self.lookup(text)
        if text == "(":
            value = self.sum(depth + 1)
            self.close()
            return value
        raise ValueError(f"{self.text!r} has {text!r} where a number is expected")

    def call(self, name: str, depth: int) -> float:
        if name not in FUNCTIONS:
            raise ValueError(f"{self.text!r} calls {name}, known are {', '.join(sorted(FUNCTIONS))}")
        count, function = FUNCTIONS[name]
        self.take()
        arguments = [self.sum(depth + 1)]
        while self.follows(","):
            self.take()
            arguments.append(self.sum(depth + 1))
        self.close()
        if len(arguments) != count:
            raise ValueError(f"{name} takes {count} numbers, got {len(arguments)} in {self.text!r}")
        try:
            return float(function(*arguments))
        except ValueError:  # of the math module: outside the function's domain
            raise ValueError(f"{self.text!r} has no value: {name} of {', '.join(f'{a:g}' for a in arguments)}") from None

    def close(self) -> None:
        if not self.follows(")"):
            raise ValueError(f"{self.text!r} lacks a closing bracket")
        self.take()

    def lookup(self, name: str) -> float:
        try:
            return self.names(name)
        except KeyError:
            if name in CONSTANTS:
                return CONSTANTS[name]
            raise ValueError(f"{name} is not a defined parameter") from None


def _number(text: str) -> float:
    digits, _, letters = text.partition(" ")
    if not letters:
        return float(digits)
    for suffix in ("MEG", letters[0]):
        if suffix in SUFFIXES and letters.startswith(suffix) and letters[len(suffix):] in ("", *UNITS):
            mantissa, _, exponent = digits.partition("E")
            return float(f"{mantissa}E{int(exponent or 0) + SUFFIXES[suffix]}")  # a product would be rounded twice
    if letters in UNITS:
        return float(digits)
    raise ValueError(f"{digits}{letters} has an unknown suffix, known are {', '.join(SUFFIXES)}")
