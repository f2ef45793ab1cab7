"""Jitter of the pulses' times against errors: spikes and decisions that differ from those without it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from snnsim.hardware.sfq.model import SFQNetwork
from snnsim.hardware.sfq.pulses import run
from snnsim.hardware.sfq.schedule import Delays, Schedule, slotted

Z = 1.96  # of a normal distribution, for 95 %


@dataclass(frozen=True)
class JitterRow:
    """What one standard deviation of jitter does, over all seeds and samples.

    sigma: ps. decisions: samples times seeds; wrong: how many have another prediction than without jitter, and wrong_low,
    wrong_high, the share's 95 % interval (Wilson 1927). accuracy: share that is the label, NaN where labels are not known.
    spikes: that could be, neurons x ticks; wrong_spikes, how many are there and should not, or the other way round; bit_low and
    bit_high, the interval of their share, as if each were by itself. pulses: that were sent; lost, and late, of them.
    """

    sigma: float
    decisions: int
    wrong: int
    wrong_low: float
    wrong_high: float
    accuracy: float
    spikes: int
    wrong_spikes: int
    bit_low: float
    bit_high: float
    pulses: int
    lost: int
    late: int

    @property
    def wrong_share(self) -> float:
        return self.wrong / self.decisions

    @property
    def bit_error(self) -> float:
        """Share of the spikes that are wrong."""
        return self.wrong_spikes / self.spikes

    def to_dict(self, *, decides: bool = True) -> dict[str, Any]:
        """For JSON; without its decisions where the network has one output, of which none can be another."""
        told = {**asdict(self), "bit_error": self.bit_error, "wrong_share": self.wrong_share}
        left_out = () if decides else ("wrong", "wrong_low", "wrong_high", "wrong_share")
        return {k: v for k, v in told.items() if k not in left_out and not (k == "accuracy" and np.isnan(v))}


def sweep(network: SFQNetwork, events: Any, sigmas: Iterable[float], *, labels: Any = None, schedule: Schedule | None = None,
          delays: Delays | None = None, seeds: int = 3, threads: int | None = None) -> list[JitterRow]:
    """A row for each sigma, ps, in their order. events: samples, as `run` takes them. seeds: of jitter, 0, 1, ..; the same for
    each sigma, so that only its size differs. Errors: ValueError, those of `run`, and for labels that are not one a sample."""
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise ValueError(f"seeds must be a positive whole number, got {seeds!r}")
    delays = delays or Delays()
    schedule = schedule or slotted(network, delays=delays)
    clean = run(network, events, schedule=schedule, delays=delays, threads=threads)
    expected, samples = np.atleast_1d(clean.prediction), len(clean.counts)
    truth = None if labels is None else np.atleast_1d(np.asarray(labels))
    if truth is not None and truth.shape != (samples,):
        raise ValueError(f"labels must be one for each of the {samples} samples, got the shape {truth.shape}")
    rows = []
    for sigma in sigmas:
        found = [run(network, events, schedule=schedule, delays=delays, jitter=sigma, seed=seed, threads=threads)
                 for seed in range(seeds)]
        wrong = sum(int(np.sum(np.atleast_1d(f.prediction) != expected)) for f in found)
        right = np.nan if truth is None else float(np.mean([np.atleast_1d(f.prediction) == truth for f in found]))
        bits = seeds * sum(s.size for s in clean.spikes.values())
        flipped = sum(int(np.sum(f.spikes[n] != s)) for f in found for n, s in clean.spikes.items())
        rows.append(JitterRow(float(sigma), seeds * samples, wrong, *wilson(wrong, seeds * samples), right, bits, flipped,
                              *wilson(flipped, bits),
                              *(sum(int(n.sum()) for f in found for n in getattr(f, what).values())
                                for what in ("pulses", "lost", "late"))))
    return rows


def wilson(count: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, J. Am. Stat. Assoc. 22, 1927)."""
    p, z2 = count / of, Z * Z / of
    middle, half = (p + z2 / 2) / (1 + z2), Z * np.sqrt(p * (1 - p) / of + z2 / of / 4) / (1 + z2)
    return float(middle - half) if count else 0.0, float(middle + half) if count < of else 1.0  # exact where sums would round


def margin(network: SFQNetwork, events: Any, *, schedule: Schedule | None = None, delays: Delays | None = None, seeds: int = 3,
           share: float = 0.0, resolution: float = 0.01) -> float:
    """The largest jitter, ps, at which at most this share of the spikes is wrong, by bisection to `resolution` ps; as bit
    errors grow with jitter, but for chance. Errors: those of `run`."""
    delays = delays or Delays()
    schedule = schedule or slotted(network, delays=delays)
    low, high = 0.0, schedule.period / 9.0
    while high - low > resolution:
        middle = 0.5 * (low + high)
        [row] = sweep(network, events, [middle], schedule=schedule, delays=delays, seeds=seeds)
        low, high = (middle, high) if row.bit_error <= share else (low, middle)
    return low
