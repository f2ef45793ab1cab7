"""Places populations on cores, one after another, as many neurons on a core as its limits allow.

An axon is a route: a source neuron and a core that it has a synapse on, counted once however many synapses and projections lie
behind it. Input axons of a core are the routes that end there, from other cores, from itself, or from the input; its output
axons are those of its own neurons. The input lies outside the chip.

Output axons are known only when all targets are placed: where a core has too many, the neurons that it may hold are halved, and
placing starts again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.hardware.mapping.limits import LoihiLimits
from snnsim.hardware.mapping.use import Counter, Part, Use

PER_CORE = ("neurons_per_core", "synapse_bytes_per_core", "input_axons", "output_axons")


@dataclass(frozen=True)
class Core:
    """What lies on a core and what it uses. filled_by: the limits that one neuron more of what came next would have passed."""

    parts: tuple[Part, ...]
    neurons: int
    synapses: int
    synapse_bits: int
    unrolled_bits: int
    input_axons: int
    output_axons: int
    filled_by: tuple[str, ...] = ()

    @property
    def synapse_bytes(self) -> int:
        return -(-self.synapse_bits // 8)

    def used(self, limit: str) -> int:
        """What it uses of a limit of PER_CORE."""
        return {"neurons_per_core": self.neurons, "synapse_bytes_per_core": self.synapse_bytes,
                "input_axons": self.input_axons, "output_axons": self.output_axons}[limit]


@dataclass(frozen=True)
class Misfit:
    """What does not fit: of which layer, what it needs and what is allowed, and what could bring it down."""

    layer: str
    limit: str
    needed: int
    allowed: int
    remedy: str

    def __str__(self) -> str:
        return f"{self.layer}: needs {self.needed:,} of {self.limit} (allowed {self.allowed:,}): {self.remedy}"


@dataclass(frozen=True, eq=False)
class Placed:
    """cores in order. routes: by population, the cores that each neuron has a synapse on, int64 [size]."""

    cores: tuple[Core, ...]
    routes: Mapping[str, NDArray[np.int64]]


def exceeded(core: Core, limits: LoihiLimits) -> tuple[str, ...]:
    """The limits of a core that it passes."""
    return tuple(name for name in PER_CORE if not getattr(limits, name).allows(core.used(name)))


def placed(counter: Counter, limits: LoihiLimits, share: bool) -> Placed:
    """All neurons but the input's on cores. A neuron that passes a limit alone has a core of its own, which then passes it."""
    model = counter.model
    most = dict.fromkeys((p.name for p in model.populations), counter.size)
    while True:
        found = _routed(counter, _filled(counter, limits, most, share))
        over = [c for c in found.cores if c.neurons > 1 and not limits.output_axons.allows(c.output_axons)]
        if not over:
            return found
        for core in over:
            for part in core.parts:
                most[part.population] = min(most[part.population], core.neurons // 2)


def _filled(counter: Counter, limits: LoihiLimits, most: Mapping[str, int], share: bool) -> list[
        tuple[list[Part], Use, tuple[str, ...]]]:
    cores: list[tuple[list[Part], Use, tuple[str, ...]]] = []
    parts: list[Part] = []
    use = counter.empty()

    def passes(p: Part) -> tuple[str, ...]:
        """The limits that the core passes with this part more."""
        room = min(most[q.population] for q in (*parts, p))
        with_it = counter.add(use, p)
        values = {"neurons_per_core": with_it.neurons, "synapse_bytes_per_core": with_it.synapse_bytes,
                  "input_axons": with_it.input_axons}
        return (*(n for n, v in values.items() if not getattr(limits, n).allows(v)),
                *(("output_axons",) if with_it.neurons > room else ()))

    def close(filled: tuple[str, ...] = ()) -> None:
        nonlocal parts, use
        if parts:
            cores.append((parts, use, filled))
        parts, use = [], counter.empty()

    for p in counter.model.populations[1:]:
        if not share:
            close()
        start = 0
        while start < p.size:
            low, high = 0, p.size - start  # low fits, high + 1 is beyond the population
            while low < high:
                middle = (low + high + 1) // 2
                low, high = (low, middle - 1) if passes(Part(p.name, start, start + middle)) else (middle, high)
            stopped = passes(Part(p.name, start, start + low + 1)) if start + low < p.size else ()
            if low == 0 and parts:
                close(stopped)
                continue
            part = Part(p.name, start, start + max(low, 1))
            parts, use = [*parts, part], counter.add(use, part)
            start = part.stop
            if start < p.size:
                close(stopped)
    close()
    return cores


def _routed(counter: Counter, cores: list[tuple[list[Part], Use, tuple[str, ...]]]) -> Placed:
    routes = sum((use.sources.astype(np.int64) for _, use, _ in cores), np.zeros(counter.size, np.int64))
    made = []
    for parts, use, filled in cores:
        out = sum(int(routes[counter.first[p.population] + p.start: counter.first[p.population] + p.stop].sum()) for p in parts)
        made.append(Core(tuple(parts), use.neurons, use.synapses, use.bits, use.unrolled_bits, use.input_axons, out, filled))
    by_name: dict[str, Any] = {p.name: routes[counter.first[p.name]: counter.first[p.name] + p.size]
                               for p in counter.model.populations}
    return Placed(tuple(made), by_name)
