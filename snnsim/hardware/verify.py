"""Does an artefact spike as the network did? Read it back, run both, compare spike by spike."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim import engine
from snnsim.engine import Result
from snnsim.engine.inputs import rows_of
from snnsim.hardware import nir
from snnsim.network import Network
from snnsim.rule import call

Array = NDArray[Any]
TIE = 1e-5  # a margin below this share of the largest membrane is a matter of rounding in float32


@dataclass(frozen=True)
class LayerMatch:
    """One population: spikes of the network (expected), of the artefact (found), and of both (equal)."""

    name: str
    expected: int
    found: int
    equal: int

    @property
    def missing(self) -> int:
        return self.expected - self.equal

    @property
    def extra(self) -> int:
        return self.found - self.equal

    @property
    def share(self) -> float:
        """Equal spikes as a share of all that either fired; 1 where none fired."""
        union = self.expected + self.found - self.equal
        return self.equal / union if union else 1.0


@dataclass(frozen=True)
class Divergence:
    """Where a sample's spikes first differ. Up to there all inputs were the same, so the margins are comparable.

    margin_expected, margin_found: of the neuron at that step (it fires at 0 and above), computed plainly from the
    spikes before it, in the network's dtype; tie: both lie so close to 0 that rounding decided.
    """

    sample: int
    population: str
    step: int
    neuron: int
    margin_expected: float
    margin_found: float
    tie: bool

    def __str__(self) -> str:
        cause = f"a tie at the threshold: margin {self.margin_expected:.1e}" if self.tie else (
            f"no tie: margins {self.margin_expected:.3g} and {self.margin_found:.3g}")
        return f"sample {self.sample}, {self.population}, step {self.step}, neuron {self.neuron}: {cause}"


@dataclass(frozen=True)
class MatchReport:
    """What `verify` found.

    layers: by population. divergences: the first of each sample whose spikes differ. predictions_equal: of `samples`;
    score_difference: largest absolute difference of the outputs' scores; both None where the artefact was run in a tool
    that gives none. lossy, kept: what the export could not hold, and what it holds as metadata only, as the artefact
    says. ran_in: what ran the artefact. faults: what it saw that must not be, such as pulses that meet.
    """

    artefact: str
    samples: int
    layers: tuple[LayerMatch, ...]
    divergences: tuple[Divergence, ...]
    predictions_equal: int | None
    score_difference: float | None
    lossy: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    ran_in: str = "snnsim"
    faults: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Every spike and every prediction that was compared is equal, and there was no fault."""
        return (all(x.missing == x.extra == 0 for x in self.layers) and self.predictions_equal in (None, self.samples)
                and not self.faults)

    @property
    def share(self) -> float:
        """Equal spikes of all layers, as a share of all that either fired."""
        equal = sum(x.equal for x in self.layers)
        union = sum(x.expected + x.found - x.equal for x in self.layers)
        return equal / union if union else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and texts, for JSON."""
        layers = [{**asdict(x), "missing": x.missing, "extra": x.extra, "share": x.share} for x in self.layers]
        return {**asdict(self), "exact": self.exact, "share": self.share, "layers": layers,
                "divergences": [asdict(x) for x in self.divergences], "lossy": list(self.lossy), "kept": list(self.kept),
                "faults": list(self.faults)}

    def __str__(self) -> str:
        verdict = "exact" if self.exact else f"{100 * self.share:.4f} % of the spikes equal"
        rows = [("population", "expected", "found", "equal", "missing", "extra", "share")]
        rows += [(x.name, str(x.expected), str(x.found), str(x.equal), str(x.missing), str(x.extra), f"{100 * x.share:.4f} %")
                 for x in self.layers]
        widths = [max(len(r[i]) for r in rows) for i in range(7)]
        predictions = "predictions not compared" if self.predictions_equal is None else (
            f"{self.predictions_equal} of {self.samples} predictions equal, scores within {self.score_difference:.1e}")
        lines = [f"{self.artefact}, run in {self.ran_in}: {verdict}; {predictions}"]
        lines += ["  " + "  ".join([r[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(r[1:], widths[1:], strict=True))])
                  for r in rows]
        ties = sum(x.tie for x in self.divergences)
        if self.divergences:
            lines.append(f"  {len(self.divergences)} samples diverge, {ties} of them at a tie; the first: "
                         f"{self.divergences[0]}")
        lines += [f"  fault: {text}" for text in self.faults]
        lines += [f"  lossy: {text}" for text in self.lossy] + [f"  only for snnsim: {text}" for text in self.kept]
        return "\n".join(lines)


def verify(path: str | os.PathLike[str], network: Network, samples: Any) -> MatchReport:
    """Read the artefact at `path` again, run it and the network on the samples, and compare all spikes.

    samples: a data set or a slice of one, a list of recordings or of event arrays, one event array, a binned batch, or
    counts [T, B, *input] or [T, *input].

    Errors: what the artefact's reader raises (ValueError that names the file); ValueError when snnsim did not write the
    artefact, when it holds other populations than the network, or when there are no samples.
    """
    return compared(path, network, events_of(samples))[0]


def compared(path: str | os.PathLike[str], network: Network, events: Any) -> tuple[MatchReport, Result, Result]:
    """As `verify`, of what `events_of` gives; and the runs of the network and of the artefact."""
    told = nir.describe(path)
    if told is None:
        raise ValueError(f"{path} was not written by snnsim: read it with hardware.nir.read(path, dt=) and run it")
    found = nir.read(path)
    _same_populations(path, network, found)
    ours, theirs = engine.run(network, events), engine.run(found, events)
    rule = {p.name: p.rule for p in network.populations}
    spikes = [{n: s.dense() for n, s in r.spikes.items() if (of := rule[n]) and of.fires} for r in (ours, theirs)]
    equal = int(np.sum(np.atleast_1d(ours.prediction) == np.atleast_1d(theirs.prediction)))
    difference = float(np.max(np.abs(np.asarray(ours.scores, np.float64) - theirs.scores), initial=0.0))
    layers = compare(spikes[0], spikes[1])
    divergences = first_divergences(network, found, events, spikes[0], spikes[1])
    batch = len(np.atleast_1d(ours.prediction))
    report = MatchReport(os.fspath(path), batch, layers, divergences, equal, difference, told.lossy, told.kept)
    return report, ours, theirs


def events_of(samples: Any) -> Any:
    """What the engine takes: recordings are replaced by their events."""
    if isinstance(samples, np.ndarray) or hasattr(samples, "indptr"):
        return samples
    if hasattr(samples, "events"):
        return [samples.events]
    if not isinstance(samples, Iterable):
        raise ValueError(f"samples must be a data set, events or counts, got {type(samples).__name__}")
    events = [getattr(s, "events", s) for s in samples]
    if not events:
        raise ValueError("samples must hold at least one sample, got none")
    return events


def _same_populations(path: str | os.PathLike[str], network: Network, found: Network) -> None:
    ours, theirs = ({p.name: p.shape for p in n.populations} for n in (network, found))
    if ours != theirs:
        raise ValueError(f"{path} holds the populations {theirs}, the network has {ours}: it is an export of another network")


def compare(expected: Mapping[str, Array], found: Mapping[str, Array]) -> tuple[LayerMatch, ...]:
    """Spikes by population, dense arrays of equal shapes; two at once are not one.

    ValueError that names the population which does not fit.
    """
    layers = []
    for name, ours in expected.items():
        if name not in found or found[name].shape != ours.shape:
            raise ValueError(f"population {name!r}: expected spikes of shape {ours.shape}, found "
                             f"{found[name].shape if name in found else 'none'}")
        both = np.count_nonzero(np.logical_and(ours, np.equal(ours, found[name])))
        layers.append(LayerMatch(name, int(np.count_nonzero(ours)), int(np.count_nonzero(found[name])), int(both)))
    return tuple(layers)


def first_divergences(network: Network, other: Network, events: Any, expected: Mapping[str, Array],
                 found: Mapping[str, Array]) -> tuple[Divergence, ...]:
    """The first difference of each sample: the earliest step, and there the population that is updated first."""
    order = [n for n in network.order if n in expected]
    differs = {n: (a := np.not_equal(expected[n], found[n])).reshape(*a.shape[:2], -1) for n in order}
    diverging = sorted({int(b) for d in differs.values() for b in np.flatnonzero(d.any((0, 2)))})
    if not diverging:
        return ()
    rows = rows_of(events, network.input.shape, network.time, network.dtype)
    result = []
    for sample in diverging:
        steps = {n: int(np.argmax(d[:, sample].any(1))) for n, d in differs.items() if d[:, sample].any()}
        step = min(steps.values())
        name = next(n for n in order if steps.get(n) == step)
        neuron = int(np.argmax(differs[name][step, sample]))
        counts = np.zeros((rows.steps, network.input.size), network.dtype)
        for t in range(step + 1):
            at = slice(rows.indptr[t * rows.batch + sample], rows.indptr[t * rows.batch + sample + 1])
            np.add.at(counts[t], rows.index[at], rows.value[at])
        spikes = {n: a[:, sample] for n, a in expected.items()}
        spikes[network.input.name] = counts.reshape(-1, *network.input.shape)
        ours, largest = _margin(network, name, spikes, step, neuron)
        theirs, _ = _margin(other, name, spikes, step, neuron)
        tie = max(abs(ours), abs(theirs)) <= TIE * largest
        result.append(Divergence(sample, name, step, neuron, ours, theirs, tie))
    return tuple(result)


def _margin(network: Network, name: str, spikes: Mapping[str, Array], step: int, neuron: int) -> tuple[float, float]:
    """The margin of a neuron at a step, given the spikes of all populations before it; and its largest membrane."""
    p = network.population(name)
    assert p.rule is not None and p.rule.margin is not None and p.rule.reset is not None
    values = list(p.parameters.values())
    state = [np.zeros(p.shape, network.dtype) for _ in p.rule.states]
    largest = 0.0
    for t in range(step + 1):
        x = {receptor: np.zeros(p.shape, network.dtype) for receptor in p.rule.inputs}
        for q in network.into(name):
            if t >= q.delay:
                y = np.asarray(spikes[q.source][t - q.delay], network.dtype)
                for m in q.maps:
                    y = m.apply(y)
                x[q.receptor] += y.reshape(p.shape)
            if q.bias is not None:
                x[q.receptor] += q.bias
        state = list(call(p.rule.charge, *state, *x.values(), *values))
        margin = np.broadcast_to(np.asarray(call(p.rule.margin, *state, *values)[0]), p.shape).flat[neuron]
        largest = max(largest, float(np.abs(np.broadcast_to(state[-1], p.shape).flat[neuron])), float(np.abs(margin)))
        # what the network did, not what this recomputation would decide
        state = list(call(p.rule.reset, *state, np.asarray(spikes[name][t], network.dtype), *values))
    return float(margin), largest
