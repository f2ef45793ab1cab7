"""How far a circuit of junctions may be off and still do what it should.

    margin            all elements of a class times one factor: the smallest and the largest that work, by bisection
    timing            all pulses of a source earlier or later: how far they may come so, by bisection
    Monte Carlo       each element times its own factor 1 + sigma N(0, 1), as a process spreads them: the share that works
    thermal noise     the share of runs that work at 4.2 K, with the Johnson current of each resistor and junction

What works is a function of the switching times, which is asked once for each simulation. The classes: bias, junctions (critical
currents, with their capacitance), inductors, resistors (shunts, too) and couplings.
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
REACH, FINE = 450.0, 1.0  # ps, of pulses' times
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
class Timing:
    """How far the pulses of a source may come earlier and later, all of them at once, ps. bounded: whether the circuit fails
    beyond, or was not tried."""

    source: str
    pulses: int
    earlier: float
    later: float
    bounded: tuple[bool, bool]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Share:
    """right of runs, with the 95 % interval of the share (Wilson 1927). spread: sigma by class. kelvin: of the noise, 0 without
    it. failed: the numbers of the runs that were not right, which are seeds."""

    spread: dict[str, float]
    kelvin: float
    runs: int
    right: int
    low: float
    high: float
    failed: tuple[int, ...]

    @property
    def sigma(self) -> float:
        """The largest spread."""
        return max(self.spread.values(), default=0.0)

    @property
    def what(self) -> str:
        """Which runs."""
        told = [f"spread of {name} {100 * s:.3g} %" for name, s in self.spread.items() if s]
        told += [f"noise at {self.kelvin:g} K"] if self.kelvin else []
        return ", ".join(told) or "as it is"

    def to_dict(self) -> dict[str, Any]:
        return {"what": self.what, "sigma": self.sigma, **asdict(self)}

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
    _check(circuit, works, {name: elements}, limit, resolution)
    return _margin(circuit, works, name, elements, limit, resolution)


def _margin(circuit: Circuit, works: Works, name: str, elements: Sequence[str], limit: float, resolution: float) -> Margin:
    known = {e.name: e for e in circuit.elements}
    most = min((1 / abs(known[n].value) for n in elements if n in known and known[n].kind == "K"), default=np.inf)

    def at(factor: float) -> bool:
        return _works(circuit.scaled(dict.fromkeys(elements, factor)), works)

    (low, below), (high, above) = (_end(at, 1.0, far, resolution) for far in (1 - limit, min(1 + limit, 0.999 * most)))
    return Margin(name, len(elements), low, high, (below, above))


def _end(works: Callable[[float], bool], good: float, far: float, resolution: float) -> tuple[float, bool]:
    """The last value from good, which works, towards far that works, too, and whether there is one that does not."""
    if works(far):
        return float(far), False
    bad = far
    while abs(bad - good) > resolution:
        middle = (good + bad) / 2
        good, bad = (middle, bad) if works(middle) else (good, middle)
    return float(good), True


def margins(circuit: Circuit, works: Works, groups: Mapping[str, Sequence[str]] | None = None, *, limit: float = LIMIT,
            resolution: float = RESOLUTION) -> list[Margin]:
    """A margin for each group of elements; by default for each of `classes`. Errors: those of `margin`."""
    groups = classes(circuit) if groups is None else groups
    _check(circuit, works, groups, limit, resolution)
    return [_margin(circuit, works, name, elements, limit, resolution) for name, elements in groups.items()]


def _check(circuit: Circuit, works: Works, groups: Mapping[str, Sequence[str]], limit: float, resolution: float) -> None:
    finite("limit", limit, above=0.0)
    finite("resolution", resolution, above=0.0)
    if limit >= 1:
        raise ValueError(f"limit must be below 1, got {limit:g}: factors are above 0")
    if empty := [name for name, elements in groups.items() if not elements]:
        raise ValueError(f"{empty[0]}: there is no element to change")
    _check_works(circuit, works)


def _check_works(circuit: Circuit, works: Works) -> None:
    if not _works(circuit, works):
        raise ValueError(f"{circuit.name} does not do what it should as it is: there is no margin to measure")


def timing(circuit: Circuit, works: Works, sources: Sequence[str] | None = None, *, reach: float = REACH,
           resolution: float = FINE) -> list[Timing]:
    """How far all pulses of each source may come earlier and later, the others as they are, by bisection from 0 to `reach`, ps,
    or to where a pulse would begin before t = 0 or end after the run. sources: by default all that give pulses.

    Errors: ValueError for a circuit that does not work as it is, for what is no source of pulses, for none, and for a reach or
    a resolution that is not above 0.
    """
    finite("reach", reach, above=0.0)
    finite("resolution", resolution, above=0.0)
    stop = circuit.tran.stop if circuit.tran else 0.0
    pulsed = {e.name: corners for e in circuit.of("VI") if (corners := _corners(e.wave))}
    names = list(pulsed) if sources is None else [n.upper().replace(".", "|") for n in sources]
    if not names:
        raise ValueError(f"{circuit.name} has no source with pulses in pwl() or pulse(), whose times could be moved")
    if wrong := [n for n in names if n not in pulsed]:
        raise ValueError(f"{circuit.name}: {wrong[0]} is no source with pulses in pwl() or pulse()")
    _check_works(circuit, works)
    found = []
    for name in names:
        first, last, pulses = pulsed[name]

        def at(ps: float, name: str = name) -> bool:
            return _works(circuit.shifted({name: 1e-12 * ps}), works)

        ends = [_end(at, 0.0, sign * min(reach, 1e12 * room), resolution) if room > 0 else (0.0, False)
                for sign, room in ((-1, 0.999 * first), (1, stop - last))]
        found.append(Timing(name, pulses, -ends[0][0], ends[1][0], (ends[0][1], ends[1][1])))
    return found


def _corners(wave: Any) -> tuple[float, float, int] | None:
    """The first and the last corner of a source's pulses, s, and how many maxima it has; None for one without pulses."""
    if wave is not None and wave.kind == "pulse":
        delay = (*wave.values[2:3], 0.0)[0]
        return delay, delay, 1
    if wave is None or wave.kind != "pwl" or not (times := [t for t in wave.values[::2] if t > 0]):
        return None
    size = np.abs(wave.values[1::2])
    size = size[np.concatenate([[True], size[1:] != size[:-1]])]  # a flat top is one maximum
    pulses = int(np.sum((size[1:-1] > size[:-2]) & (size[1:-1] > size[2:])))
    return (times[0], times[-1], pulses) if pulses else None


def monte_carlo(circuit: Circuit, works: Works, spread: Mapping[str, float] | None = None, *, kelvin: float = 0.0,
                runs: int = 100, seed: int = 0) -> Share:
    """The yield: runs in which each element has its own factor 1 + sigma N(0, 1), at least 0.05. spread: sigma by class, those
    left out being 0; by default 5 % for junctions, inductors and resistors. Run k draws from (seed, k) alone, so that runs of
    two sigmas differ in the size of their factors only. kelvin: with thermal noise, in run k of the seed seed + k.

    Errors: ValueError for an unknown class, a sigma outside 0 .. 0.5, kelvin below 0, and runs below 1."""
    finite("kelvin", kelvin, at_least=0.0)
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
        return _works(circuit.scaled(factors), works, kelvin, seed + k)

    if isinstance(runs, bool) or not isinstance(runs, int) or runs < 1:
        raise ValueError(f"runs must be a positive whole number, got {runs!r}")
    failed = tuple(k for k in range(runs) if not run(k))
    return Share(spread, kelvin, runs, runs - len(failed), *wilson(runs - len(failed), runs), failed)


def thermal(circuit: Circuit, works: Works, *, kelvin: float = HELIUM, runs: int = 20, seed: int = 0) -> Share:
    """Runs with thermal noise alone, of the seeds seed, seed + 1, .. Errors: ValueError for kelvin and runs not above 0."""
    finite("kelvin", kelvin, above=0.0)
    return monte_carlo(circuit, works, {}, kelvin=kelvin, runs=runs, seed=seed)


def _works(circuit: Circuit, works: Works, kelvin: float = 0.0, seed: int = 0) -> bool:
    return works(simulate(circuit, prints=[], temperature=kelvin, seed=seed).switches)


def table(found: Iterable[Margin]) -> list[tuple[str, str, str, str]]:
    """Rows for people: class, elements, from, to."""
    return [(m.name, f"{m.elements:,}", *_ends(m)) for m in found]


def _ends(m: Margin) -> tuple[str, str]:
    low, high = (f"{100 * (f - 1):+.0f} %" + ("" if b else " or more") for f, b in zip((m.low, m.high), m.bounded, strict=True))
    return low, high
