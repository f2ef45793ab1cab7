"""How far a circuit of junctions may be off and still do what it should.

    margin            all elements of a class times one factor: the smallest and the largest that work, by bisection
    Monte Carlo       each element times its own factor 1 + sigma N(0, 1), as a process spreads them: the share that works
    thermal noise     the share of runs that work at 4.2 K, with the Johnson current of each resistor and junction

What works is a function of the switching times. The classes: bias, junctions (critical currents, with their capacitance),
inductors, resistors (shunts, too) and couplings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from snnsim.hardware.sfq.jitter import wilson
from snnsim.hardware.sfq.junctions import Circuit, Switches, simulate
from snnsim.rule import finite

CLASSES = {"bias": "I", "junctions": "B", "inductors": "L", "resistors": "R", "couplings": "K"}
SPREAD = {"bias": 0.0, "junctions": 0.05, "inductors": 0.05, "resistors": 0.05, "couplings": 0.0}
LIMIT, RESOLUTION = 0.6, 0.01  # of the factors, from 1
HELIUM = 4.2  # K
LEAST = 0.05  # a drawn factor

Works = Callable[[Switches], bool]


@dataclass(frozen=True)
class Margin:
    """Factors of all elements of a class at once, from `low` to `high`, at which the circuit works. bounded: whether it fails
    beyond them, or was not tried. elements: how many."""

    name: str
    elements: int
    low: float
    high: float
    bounded: tuple[bool, bool]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.name}: {' .. '.join(_ends(self))}"


@dataclass(frozen=True)
class Share:
    """right of runs, with the 95 % interval of the share (Wilson 1927). what: which runs. failed: their numbers, which are
    seeds."""

    what: str
    runs: int
    right: int
    low: float
    high: float
    failed: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.what}: {self.right} of {self.runs} right, {self.low:.1%} .. {self.high:.1%}"


def classes(circuit: Circuit) -> dict[str, tuple[str, ...]]:
    """The elements of each class that the circuit has. Sources of pulses belong to none."""
    found = {name: tuple(e.name for e in circuit.of(kind)) for name, kind in CLASSES.items()}
    return {name: elements for name, elements in found.items() if elements}


def same_counts(switches: Switches, junctions: Sequence[str]) -> Works:
    """What works where each of these junctions switches as often as in `switches`."""
    expected = {name: len(switches[name]) for name in junctions}
    return lambda found: all(len(found[name]) == n for name, n in expected.items())


def margin(circuit: Circuit, works: Works, name: str, elements: Sequence[str], *, limit: float = LIMIT,
           resolution: float = RESOLUTION) -> Margin:
    """By bisection, from 1 - limit to 1 + limit; couplings until 1. As circuits fail beyond a factor and work up to it, but for
    islands. Errors: ValueError for a circuit that does not work as it is, for elements that are not there, and for limits."""
    finite("limit", limit, above=0.0)
    finite("resolution", resolution, above=0.0)
    if limit >= 1:
        raise ValueError(f"limit must be below 1, got {limit:g}: factors are above 0")
    if not elements:
        raise ValueError(f"{name}: there is no element to change")
    if not _works(circuit, works):
        raise ValueError(f"{circuit.name} does not do what it should as it is: there is no margin to measure")
    known = {e.name: e for e in circuit.elements}
    most = min((1 / abs(known[n].value) for n in elements if n in known and known[n].kind == "K"), default=np.inf)
    ends, bounded = [], []
    for far in (1 - limit, min(1 + limit, 0.999 * most)):
        good, bad = 1.0, far
        if _works(circuit.scaled(dict.fromkeys(elements, far)), works):
            good, bounds = far, False
        else:
            bounds = True
            while abs(bad - good) > resolution:
                middle = (good + bad) / 2
                good, bad = (middle, bad) if _works(circuit.scaled(dict.fromkeys(elements, middle)), works) else (good, middle)
        ends.append(float(good))
        bounded.append(bounds)
    return Margin(name, len(elements), ends[0], ends[1], (bounded[0], bounded[1]))


def margins(circuit: Circuit, works: Works, groups: Mapping[str, Sequence[str]] | None = None, *, limit: float = LIMIT,
            resolution: float = RESOLUTION) -> list[Margin]:
    """A margin for each group of elements; by default for each of `classes`."""
    return [margin(circuit, works, name, elements, limit=limit, resolution=resolution)
            for name, elements in (classes(circuit) if groups is None else groups).items()]


def monte_carlo(circuit: Circuit, works: Works, spread: Mapping[str, float] | None = None, *, runs: int = 100,
                seed: int = 0) -> Share:
    """The yield: runs in which each element has its own factor 1 + sigma N(0, 1), at least 0.05. spread: sigma by class, those
    left out being 0; by default 5 % for junctions, inductors and resistors. Run k draws from (seed, k) alone.

    Errors: ValueError for an unknown class, a sigma outside 0 .. 0.5, and runs below 1."""
    spread = dict(SPREAD if spread is None else spread)
    wrong = next((n for n, s in spread.items() if n not in CLASSES or not 0 <= s <= 0.5), None)
    if wrong is not None:
        raise ValueError(f"spread must be 0 .. 0.5 for {', '.join(CLASSES)}, got {spread[wrong]!r} for {wrong!r}")
    groups = {name: elements for name, elements in classes(circuit).items() if spread.get(name)}
    known = {e.name: e.value for e in circuit.elements}

    def run(k: int) -> bool:
        rng = np.random.default_rng([seed, k])
        factors: dict[str, float] = {}
        for name, elements in groups.items():
            drawn = np.maximum(1 + spread[name] * rng.standard_normal(len(elements)), LEAST).tolist()
            factors.update(zip(elements, drawn, strict=True))
        for name in groups.get("couplings", ()):
            factors[name] = min(factors[name], 0.999 / abs(known[name]))
        return _works(circuit.scaled(factors), works)

    told = ", ".join(f"{name} {s:.0%}" for name, s in spread.items() if s)
    return _share(f"spread of {told or 'nothing'}", runs, run)


def thermal(circuit: Circuit, works: Works, *, kelvin: float = HELIUM, runs: int = 20, seed: int = 0) -> Share:
    """Runs with thermal noise, of the seeds seed, seed + 1, .. Errors: ValueError for runs below 1, and those of `simulate`."""
    finite("kelvin", kelvin, above=0.0)
    return _share(f"noise at {kelvin:g} K", runs, lambda k: works(
        simulate(circuit, prints=[], temperature=kelvin, seed=seed + k).switches))


def _share(what: str, runs: int, run: Callable[[int], bool]) -> Share:
    if isinstance(runs, bool) or not isinstance(runs, int) or runs < 1:
        raise ValueError(f"runs must be a positive whole number, got {runs!r}")
    failed = tuple(k for k in range(runs) if not run(k))
    return Share(what, runs, runs - len(failed), *wilson(runs - len(failed), runs), failed)


def _works(circuit: Circuit, works: Works) -> bool:
    return works(simulate(circuit, prints=[]).switches)


def table(found: Iterable[Margin]) -> list[tuple[str, str, str, str]]:
    """Rows for people: class, elements, from, to."""
    return [(m.name, f"{m.elements:,}", *_ends(m)) for m in found]


def _ends(m: Margin) -> tuple[str, str]:
    low, high = (f"{100 * (f - 1):+.0f} %" + ("" if b else " or more") for f, b in zip((m.low, m.high), m.bounded, strict=True))
    return low, high
