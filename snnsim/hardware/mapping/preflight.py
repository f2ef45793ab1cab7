"""The report before a chip is bought: what a network uses of each limit, what does not fit, and what could make it fit."""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.integer.model import IntegerNetwork, IntegerPopulation
from snnsim.hardware.mapping.limits import LoihiLimits
from snnsim.hardware.mapping.place import PER_CORE, Core, Misfit, exceeded, placed
from snnsim.hardware.mapping.use import Counter
from snnsim.maps import Conv2d, Delayed

NO_PROMISE = ("A report under the limits and encodings that are stated, not a promise: only the maker's compiler knows whether "
              "a network fits.")


@dataclass(frozen=True, eq=False)
class Mapping:
    """Where the neurons of a network lie, and what that uses.

    cores: in order, those of a chip after another's. routes: by population, the cores that each neuron has synapses on.
    misfits: what passes a limit, none where all fits. shared_kernels: a kernel is counted once a core.
    """

    cores: tuple[Core, ...]
    routes: Dictionary[str, NDArray[np.int64]]
    misfits: tuple[Misfit, ...]
    limits: LoihiLimits
    shared_kernels: bool

    @property
    def fits(self) -> bool:
        """No limit that was checked is passed."""
        return not self.misfits

    @property
    def chips(self) -> int:
        return -(-len(self.cores) // (self.limits.cores_per_chip.value or len(self.cores) or 1))

    def core_of(self, population: str) -> NDArray[np.int64]:
        """The core of each neuron, by its place in `cores`. ValueError for the input or a name that is not there."""
        parts = [(c, p) for c, core in enumerate(self.cores) for p in core.parts if p.population == population]
        if not parts:
            raise ValueError(f"there is no population {population!r} on the cores: {sorted(self.rows())}")
        return np.repeat([c for c, _ in parts], [p.stop - p.start for _, p in parts])

    def rows(self) -> dict[str, dict[str, Any]]:
        """By population: its cores, neurons, synapses, and the most that one of its cores uses of each limit of a core, with
        what filled them. Cores that populations share count for each."""
        found: dict[str, dict[str, Any]] = {}
        for name in dict.fromkeys(p.population for c in self.cores for p in c.parts):
            mine = [c for c in self.cores if any(p.population == name for p in c.parts)]
            found[name] = {"cores": len(mine), "neurons": sum(p.stop - p.start for c in mine for p in c.parts
                                                              if p.population == name),
                           **{limit: max(c.used(limit) for c in mine) for limit in PER_CORE},
                           "filled_by": sorted({f for c in mine for f in c.filled_by})}
        return found

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"fits": self.fits, "cores": len(self.cores), "chips": self.chips, "populations": self.rows(),
                "synapse_bytes": sum(c.synapse_bytes for c in self.cores),
                "unrolled_bytes": sum(-(-c.unrolled_bits // 8) for c in self.cores),
                "routes": {name: int(r.sum()) for name, r in self.routes.items()},
                "misfits": [{**vars(m), "says": str(m)} for m in self.misfits], "shared_kernels": self.shared_kernels,
                "limits": self.limits.to_dict(), "note": NO_PROMISE}

    def __str__(self) -> str:
        lines = [f"{counted(len(self.cores), 'core')}, {counted(self.chips, 'chip')}"]
        for name, row in self.rows().items():
            lines.append(f"  {name}: {row['neurons']:,} neurons on {counted(row['cores'], 'core')}; of a core at most "
                         + ", ".join(
                f"{row[limit]:,} {limit}" for limit in PER_CORE)
                         + (f"; filled by {', '.join(row['filled_by'])}" if row["filled_by"] else ""))
        return "\n".join([*lines, *(f"does not fit: {m}" for m in self.misfits), NO_PROMISE])


def counted(number: int, what: str) -> str:
    """1 core, 2 cores"""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def place(model: IntegerNetwork, limits: LoihiLimits | None = None, *, shared_kernels: bool = True,
          share: bool = True) -> Mapping:
    """Put the neurons of an integer network on cores, in the order of the populations, and check all limits.

    shared_kernels: a convolution's kernel lies once on a core, else each of its synapses does. share: a core may hold neurons
    of several populations. Nothing is refused: what does not fit is placed, and named in `misfits`.
    """
    limits = limits or LoihiLimits()
    counter = Counter(model, limits, shared_kernels)
    found = placed(counter, limits, share)
    misfits = [*_of_populations(counter, limits), *_of_cores(counter, limits, found.cores), *_of_chips(limits, found.cores)]
    return Mapping(found.cores, found.routes, tuple(misfits), limits, shared_kernels)


def _of_populations(counter: Counter, limits: LoihiLimits) -> list[Misfit]:
    """What no placing changes: fan-in, fan-out, delays."""
    found = []
    for p in counter.model.populations:
        into, out = int(counter.fan_in(p.name).max()), int(counter.fan_out[counter.first[p.name]:][:p.size].max())
        for name, needed, remedy in (("fan_in", into, f"{_fewer_inputs(counter, p)}, or split its inputs over two populations"),
                                     ("fan_out", out, "prune its weights, give its targets smaller kernels or larger strides, "
                                                      "or let two copies of it share its targets")):
            limit = getattr(limits, name)
            if not limit.allows(needed):
                found.append(Misfit(p.name, name, needed, limit.value, remedy))
    for q in counter.model.projections:
        longest = q.delay - 1 + (q.map.longest if isinstance(q.map, Delayed) else 0)
        if not limits.delay_bits.allows(longest.bit_length()):
            bits = limits.delay_bits.value
            assert bits is not None
            found.append(Misfit(q.name, "delay_bits", longest.bit_length(), bits, f"its longest delay adds {longest} steps: "
                                f"shorten it to {2**bits - 1}, take longer steps, or put a population that relays in between"))
    return found


def _of_cores(counter: Counter, limits: LoihiLimits, cores: tuple[Core, ...]) -> list[Misfit]:
    """Of cores that pass a limit, which hold one neuron each: the worst of each population and limit."""
    worst: dict[tuple[str, str], Misfit] = {}
    for core in cores:
        part = core.parts[0]
        for name in exceeded(core, limits):
            needed, allowed = core.used(name), getattr(limits, name).value
            if (part.population, name) not in worst or worst[part.population, name].needed < needed:
                remedy = _remedy(counter, counter.model.population(part.population), name, part.start, allowed)
                worst[part.population, name] = Misfit(part.population, name, needed, allowed, remedy)
    return list(worst.values())


def _remedy(counter: Counter, p: IntegerPopulation, limit: str, neuron: int, allowed: int) -> str:
    if limit == "output_axons":
        return (f"neuron {neuron} alone has synapses on so many cores: place its targets on fewer, with fewer bits or fewer "
                "neurons")
    if limit == "input_axons":
        return (f"neuron {neuron} alone has so many sources: {_fewer_inputs(counter, p)}, or split its inputs over two "
                "populations")
    into = counter.into[p.name]
    ways = []
    for bits in range(max(q.projection.bits for q in into) - 1, 0, -1):
        lower = sum(q.bits(neuron, neuron + 1, counter.shared, min(bits, q.projection.bits)) for q in into)
        if lower <= 8 * allowed:
            ways.append(f"at {bits} bits a weight it needs {-(-lower // 8):,}")
            break
    if any(q.delay_bits for q in into):
        ways.append("one delay for a whole projection takes no memory")
    return f"neuron {neuron} alone needs so much: " + ", ".join([*ways, _fewer_inputs(counter, p),
                                                                 "or split its inputs over two populations"])


def _fewer_inputs(counter: Counter, p: IntegerPopulation) -> str:
    convolved = any(isinstance(q.projection.map, Conv2d) for q in counter.into[p.name])
    return "smaller kernels or fewer input channels" if convolved else "prune its weights, or pool or stride the layer before"


def _of_chips(limits: LoihiLimits, cores: tuple[Core, ...]) -> list[Misfit]:
    per_chip, chips = limits.cores_per_chip.value, limits.chips.value
    if per_chip is None or chips is None or len(cores) <= per_chip * chips:
        return []
    of = [p for c in cores for p in {part.population for part in c.parts}]
    layer = max(dict.fromkeys(of), key=of.count)
    filled = sorted({f for c in cores if c.parts[0].population == layer for f in c.filled_by})
    means = {"neurons_per_core": "fewer channels or a larger stride", "synapse_bytes_per_core": "fewer bits, or pruned weights",
             "input_axons": "larger strides, smaller kernels or fewer input channels",
              "output_axons": "smaller layers after it"}
    ways = "; ".join(f"{f} fills them: {means[f]}" for f in filled)
    return [Misfit(layer, "cores_per_chip", len(cores), per_chip * chips,
                   f"it takes {of.count(layer)} of them{'; ' if ways else ''}{ways}; or {-(-len(cores) // per_chip)} chips")]
