"""A neuron's rule: three small functions on floats, checked and traced once, for every backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.rule.purity import arguments
from snnsim.rule.trace import Symbol, call, named

Function = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Rule:
    """What one neuron does in one step: charge, fire, reset.

        h = charge(*states, *inputs, *parameters)      states before the decision
        s = 1 if margin(*h, *parameters) >= 0 else 0
        states = reset(*h, s, *parameters)

    The functions are pure: arguments, numbers, + - * /, comparisons, `exp`, `log`, `floor` and `where`. States and
    parameters take their names from charge's signature around the inputs. A rule without margin and reset never fires.

    Two optional functions let an event-driven engine skip silent steps:
        leap(*states, k, *parameters) -> states after k steps without input
        bound(*states, *parameters) -> a number that no margin of any later silent step exceeds
    `unit` names the parameters that must lie from 0 to 1, as bound may rely on; `check` refuses others.
    `conductances` names the inputs that take no negative weight.

    Errors: ValueError or TypeError that names the function and the argument.
    """

    name: str
    charge: Function
    margin: Function | None = None
    reset: Function | None = None
    leap: Function | None = None
    bound: Function | None = None
    inputs: tuple[str, ...] = ("x",)
    unit: tuple[str, ...] = ()
    conductances: tuple[str, ...] = ()
    equation: str = ""
    source: str = ""
    states: tuple[str, ...] = field(init=False)
    parameters: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = arguments(self.charge, "charge")
        at = [names.index(i) if i in names else -1 for i in self.inputs]
        if not at or at != list(range(at[0], at[0] + len(at))) or at[0] < 1:
            raise ValueError(f"charge of rule {self.name!r} takes {names}: its arguments must be the states, then the "
                             f"inputs {self.inputs}, then the parameters")
        states, parameters = names[: at[0]], names[at[-1] + 1:]
        object.__setattr__(self, "states", states)
        object.__setattr__(self, "parameters", parameters)
        if (self.margin is None) != (self.reset is None):
            raise ValueError(f"rule {self.name!r}: a rule that fires needs margin and reset, one that never fires neither")
        expected = {"margin": (*states, *parameters), "reset": (*states, "s", *parameters),
                    "leap": (*states, "k", *parameters), "bound": (*states, *parameters)}
        for role, wanted in expected.items():
            function = getattr(self, role)
            if function is not None and arguments(function, role) != wanted:
                raise ValueError(f"{role} of rule {self.name!r} takes {arguments(function, role)}, must take {wanted}")
        for role, count in (("charge", len(states)), ("margin", 1), ("reset", len(states)), ("leap", len(states)),
                            ("bound", 1)):
            if getattr(self, role) is not None and len(self.trace(role)) != count:
                raise ValueError(f"{role} of rule {self.name!r} returns {len(self.trace(role))} values, must return {count}")

        for name in self.unit:
            one_of(f"unit of rule {self.name!r}", name, parameters)
        for name in self.conductances:
            one_of(f"conductances of rule {self.name!r}", name, self.inputs)

    @property
    def fires(self) -> bool:
        return self.margin is not None

    def check(self, name: str, value: ArrayLike, label: str) -> None:
        """ValueError that starts with the label when the value is impossible for this parameter."""
        array = finite(label, value)
        if name in self.unit and np.any((array < 0.0) | (array > 1.0)):
            raise ValueError(f"{label} must lie from 0 to 1, got {value!r}")

    def trace(self, role: str) -> tuple[Symbol, ...]:
        """The results of one of the functions on symbols named like its arguments."""
        function = getattr(self, role)
        outputs = call(function, *[named(n) for n in arguments(function, role)])
        for o in outputs:
            if not isinstance(o, (Symbol, int, float)):
                raise TypeError(f"{role} of rule {self.name!r} returns {type(o).__name__}, must return a float")
        return tuple(o if isinstance(o, Symbol) else Symbol("const", value=float(o)) for o in outputs)

    def __call__(self, **values: ArrayLike) -> Fixed:
        """A neuron with this rule and these step parameters, the same at every dt."""
        return Fixed(self, values)


class Neuron(ABC):
    """A rule with its parameters in a user's units; `step_parameters` turns them into those of one step."""

    @property
    @abstractmethod
    def rule(self) -> Rule: ...

    @abstractmethod
    def step_parameters(self, dt: float) -> dict[str, NDArray[np.float64]]:
        """The rule's parameters for a step of dt milliseconds, by name, in the order of `rule.parameters`."""

    @property
    def initial(self) -> dict[str, float]:
        """The states at rest, by name; those not named start at 0."""
        return {}


@dataclass(frozen=True, eq=False)
class Fixed(Neuron):
    """A rule with step parameters given as they are (numbers, or arrays that fit the population), and its states at rest."""

    of: Rule
    values: Mapping[str, ArrayLike]
    rest: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        missing = [p for p in self.of.parameters if p not in self.values]
        unknown = [p for p in self.values if p not in self.of.parameters]
        if missing or unknown:
            raise ValueError(f"rule {self.of.name!r} has the parameters {self.of.parameters}: "
                             f"missing {missing}, unknown {unknown}")
        for name, value in self.values.items():
            self.of.check(name, value, name)

    @property
    def rule(self) -> Rule:
        return self.of

    @property
    def initial(self) -> dict[str, float]:
        return dict(self.rest)

    def step_parameters(self, dt: float) -> dict[str, NDArray[np.float64]]:
        return {p: np.asarray(self.values[p], np.float64) for p in self.of.parameters}


def finite(name: str, value: ArrayLike, *, above: float | None = None,
           at_least: float | None = None) -> NDArray[np.float64]:
    """The value as float64, or a ValueError that names it: not a number, not finite, or out of its range."""
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number or an array of numbers, got {value!r}") from None
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite, got {value!r}")
    if above is not None and np.any(array <= above):
        raise ValueError(f"{name} must be above {above:g}, got {value!r}")
    if at_least is not None and np.any(array < at_least):
        raise ValueError(f"{name} must be at least {at_least:g}, got {value!r}")
    return array


def one_of(name: str, value: object, allowed: Iterable[object]) -> None:
    """ValueError that names the argument, unless the value is one of those allowed."""
    options = list(allowed)
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r}")
