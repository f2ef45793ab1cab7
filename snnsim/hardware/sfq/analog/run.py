"""What a laid-out network decides: its somas' switching times become spikes of ticks, and are compared with whole numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.hardware.sfq.analog.deck import Laid
from snnsim.hardware.sfq.junctions import Circuit, flatten, parse_deck, simulate
from snnsim.hardware.sfq.pulses import run

Times = Callable[[str], NDArray[np.float64]]  # of a junction: ps at which it switched


@dataclass(frozen=True, eq=False)
class Decisions:
    """By layer, [T, neurons]: fired, how often each soma slipped between its clock and the next layer's; late, how often it did
    after that, too late for its latch. outputs: pulses that left after the last clock, [T, neurons of the last layer]; early,
    pulses and slips before the first tick. expected: what whole numbers decide, by layer. delay: ps from its clock to the
    slowest slip, by layer, NaN where there was none."""

    fired: dict[str, NDArray[np.int64]]
    late: dict[str, NDArray[np.int64]]
    outputs: NDArray[np.int64]
    early: int
    expected: dict[str, NDArray[np.uint8]]
    delay: dict[str, float]

    @property
    def wrong(self) -> int:
        """Decisions of somas that are not one slip where whole numbers spike and none where they do not."""
        return sum(int(np.sum(n != self.expected[name])) for name, n in self.fired.items())

    @property
    def faults(self) -> dict[str, int]:
        """What went wrong, by name."""
        last = list(self.expected)[-1]
        return {"wrong": self.wrong, "late": sum(int(n.sum()) for n in self.late.values()), "early": self.early,
                "double": sum(int(np.sum(n > 1)) for n in self.fired.values()),
                "outputs": int(np.sum(self.outputs != self.expected[last]))}

    @property
    def right(self) -> bool:
        """Every soma and every output as whole numbers say, and nothing else."""
        return not any(self.faults.values())

    def __repr__(self) -> str:
        faults = ", ".join(f"{n} {name}" for name, n in self.faults.items() if n)
        made = sum(n.size for n in self.fired.values())
        return f"Decisions({len(self.outputs)} ticks, {made} of somas: {faults or 'all right'})"


def run_junctions(laid: Laid, *, temperature: float = 0.0, seed: int = 0) -> Decisions:
    """Simulate the deck in our solver, and say what it decided. Errors: those of `junctions.simulate`."""
    return decisions(laid, simulate(flatten(parse_deck(laid.text)), prints=[], temperature=temperature, seed=seed).switches)


def decisions(laid: Laid, switches: Any) -> Decisions:
    """switches[name]: s at which the named junction switched forwards; those of `simulate`, or of another simulator."""
    steps, clock, layers = len(laid.pulses), laid.clock, laid.network.layers
    fired, late, delay, early = {}, {}, {}, 0
    for n, (layer, names) in enumerate(zip(layers, laid.somas, strict=True)):
        counts, after = (np.zeros((steps, layer.size), np.int64) for _ in range(2))
        slowest = np.nan
        for i, name in enumerate(names):
            tick, into = _ticks(switches[name], clock.start + n * clock.phase, clock.period)
            early += int(np.sum(tick < 0))
            for t, ps in zip(tick.tolist(), into.tolist(), strict=True):
                if 0 <= t < steps:
                    (counts if ps < clock.phase else after)[t, i] += 1
                    slowest = float(np.fmax(slowest, ps))
        fired[layer.name], late[layer.name], delay[layer.name] = counts, after, slowest
    outputs = np.zeros((steps, layers[-1].size), np.int64)
    for i, name in enumerate(laid.outputs):
        tick, _ = _ticks(switches[name], clock.start + len(layers) * clock.phase, clock.period)
        early += int(np.sum(tick < 0))
        np.add.at(outputs[:, i], tick[(tick >= 0) & (tick < steps)], 1)
    whole = run(laid.network, laid.pulses[:, None]).spikes
    return Decisions(fired, late, outputs, early, {name: s[:, 0] for name, s in whole.items()}, delay)


def _ticks(times: ArrayLike, start: float, period: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of times in s: the tick, and ps from its begin."""
    since = 1e12 * np.asarray(times) - start
    tick = np.floor(since / period).astype(np.int64)
    return tick, since - tick * period


def circuit_of(laid: Laid) -> Circuit:
    return flatten(parse_deck(laid.text, "network"))
