"""Placing on cores: counts equal those by hand, what is called a fit passes no limit, and what does not fit is named."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim.hardware import mapping
from snnsim.hardware.integer import IntegerNetwork, IntegerPopulation, IntegerProjection
from snnsim.hardware.mapping import Limit, LoihiLimits
from snnsim.maps import Conv2d, Delayed, Dense
from tests.test_integer import by_delay, random_integers

Array = np.ndarray[Any, Any]
LIMITS = st.builds(
    LoihiLimits, neurons_per_core=st.integers(1, 40), synapse_bytes_per_core=st.integers(1, 400),
    input_axons=st.integers(1, 60), output_axons=st.integers(1, 40), fan_in=st.none() | st.integers(1, 40),
    fan_out=st.none() | st.integers(1, 40), delay_bits=st.integers(1, 6), cores_per_chip=st.integers(1, 30),
    chips=st.integers(1, 3))


def by_hand(net: IntegerNetwork, core: mapping.Core, limits: LoihiLimits, shared: bool) -> dict[str, Any]:
    """What lies on a core, weight by weight."""
    sources: set[tuple[str, int]] = set()
    synapses = bits = 0
    for name, start, stop in core.parts:
        for q in net.projections:
            if q.target != name:
                continue
            dense = sum((w != 0).astype(int) for w in by_delay(q, net.population(q.source).shape).values())
            rows = [(i, j) for i in range(start, stop) for j in range(dense.shape[1]) if dense[i, j]]
            mine = {(q.source, j) for _, j in rows}
            each = q.bits + (limits.delay_bits.value or 6) * isinstance(q.map, Delayed)
            index = max(1, math.ceil(math.log2(limits.neurons_per_core.value or 0)))
            least = min(len(rows) * (each + index), len(mine) * (stop - start) * each)
            if shared and isinstance(q.map, Conv2d):
                shape = net.population(name).shape
                channels = {np.unravel_index(i, shape)[0] for i in range(start, stop)}
                least = min(least, sum(int(np.count_nonzero(np.asarray(q.map.weight)[c])) for c in channels) * each)
            sources |= mine
            synapses += len(rows)
            bits += least
    return {"neurons": sum(p.stop - p.start for p in core.parts), "synapses": synapses, "bits": bits, "sources": sources}


@given(st.integers(0, 2**31), LIMITS, st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_counts_are_those_by_hand_and_a_fit_passes_no_limit(seed: int, limits: LoihiLimits, shared: bool, share: bool) -> None:
    net, _ = random_integers(seed)
    found = mapping.place(net, limits, shared_kernels=shared, share=share)
    for p in net.populations[1:]:
        parts = [x for c in found.cores for x in c.parts if x.population == p.name]
        assert [x.start for x in parts] == [0, *[x.stop for x in parts[:-1]]] and parts[-1].stop == p.size
        assert len(found.core_of(p.name)) == p.size
    hands = [by_hand(net, core, limits, shared) for core in found.cores]
    for core, hand in zip(found.cores, hands, strict=True):
        own = {(p.population, n) for p in core.parts for n in range(p.start, p.stop)}
        out = sum(len(own & h["sources"]) for h in hands)
        assert (core.neurons, core.synapses, core.synapse_bits, core.input_axons, core.output_axons) == (
            hand["neurons"], hand["synapses"], hand["bits"], len(hand["sources"]), out)
        assert core.unrolled_bits >= core.synapse_bits and (share or len(core.parts) == 1)
        passed = [n for n, used in (("neurons_per_core", core.neurons), ("synapse_bytes_per_core", -(-hand["bits"] // 8)),
                                    ("input_axons", len(hand["sources"])), ("output_axons", out))
                  if used > (getattr(limits, n).value or 0)]
        assert not passed or core.neurons == 1  # what can be split is split
        for name in passed:
            assert any(m.limit == name and m.layer == core.parts[0].population and m.needed >= core.used(name)
                       for m in found.misfits)
    routes = {name: [sum((name, n) in h["sources"] for h in hands) for n in range(net.population(name).size)]
              for name in found.routes}
    assert routes == {name: r.tolist() for name, r in found.routes.items()}
    assert found.chips == -(-len(found.cores) // (limits.cores_per_chip.value or 0))
    others = {m.limit for m in found.misfits} - {"neurons_per_core", "synapse_bytes_per_core", "input_axons", "output_axons"}
    assert others == wanted(net, limits, found)


def test_a_file_of_limits_that_is_wrong_is_named(tmp_path: Any) -> None:
    file = tmp_path / "limits.toml"
    for text, said in (("chips = 0", "chips must be a whole number of at least 1, or None, got 0"),
                       ("neuron = 3", "there is no limit 'neuron', only"), ("chips =", "Invalid value")):
        file.write_text(text)
        with pytest.raises(ValueError, match=f"limits.toml: {said}"):
            LoihiLimits.read(file)


def wanted(net: IntegerNetwork, limits: LoihiLimits, found: mapping.Mapping) -> set[str]:
    """The limits that no placing changes, and the number of cores, where they are passed."""
    into = {p.name: np.zeros(p.size, int) for p in net.populations}
    out = {p.name: np.zeros(p.size, int) for p in net.populations}
    passed = set()
    for q in net.projections:
        for d, w in by_delay(q, net.population(q.source).shape).items():
            into[q.target] += (w != 0).sum(1)
            out[q.source] += (w != 0).sum(0)
            if d - 1 >= 2 ** (limits.delay_bits.value or 0):
                passed.add("delay_bits")
    for name, counts in (("fan_in", into), ("fan_out", out)):
        value = getattr(limits, name).value
        if value is not None and any(c.max() > value for c in counts.values()):
            passed.add(name)
    if len(found.cores) > (limits.cores_per_chip.value or 0) * (limits.chips.value or 0):
        passed.add("cores_per_chip")
    return passed


def dense(outputs: int = 40, inputs: int = 30, bits: int = 8, **options: Any) -> IntegerNetwork:
    weight = np.full((outputs, inputs), 2.0 ** (9 - bits))
    return IntegerNetwork((IntegerPopulation("in", (inputs,)[:1], None), IntegerPopulation("h", (outputs,))),
                          (IntegerProjection("in", "h", Dense(weight), bits=bits, **options),))


def test_cores_are_filled_to_the_limit_that_is_named() -> None:
    found = mapping.place(dense(), LoihiLimits(neurons_per_core=16))
    assert [c.neurons for c in found.cores] == [16, 16, 8] and found.fits
    assert found.cores[0].filled_by == ("neurons_per_core",) and found.cores[-1].filled_by == ()
    found = mapping.place(dense(), LoihiLimits(synapse_bytes_per_core=301))  # rows: 30 bytes a neuron
    assert [c.neurons for c in found.cores] == [10] * 4 and found.cores[0].filled_by == ("synapse_bytes_per_core",)
    assert "h: 40 neurons on 4 cores; of a core at most 10 neurons_per_core, 300 synapse_bytes_per_core" in str(found)
    assert "not a promise" in str(found) and found.to_dict()["routes"] == {"in": 120, "h": 0}


@pytest.mark.parametrize(("net", "limits", "said"), [
    (dense(), {"synapse_bytes_per_core": 20}, "h: needs 30 of synapse_bytes_per_core (allowed 20): neuron 0 alone needs so much"
     ": at 5 bits a weight it needs 19, prune its weights, or pool or stride the layer before, or split its inputs"),
    (dense(), {"input_axons": 29}, "h: needs 30 of input_axons (allowed 29): neuron 0 alone has so many sources: prune"),
    (dense(), {"fan_in": 29}, "h: needs 30 of fan_in (allowed 29): prune its weights"),
    (dense(), {"fan_out": 39}, "in: needs 40 of fan_out (allowed 39): prune its weights, give its targets smaller kernels"),
    (dense(delay=18), {"delay_bits": 4}, "in->h: needs 5 of delay_bits (allowed 4): its longest delay adds 17 "
     "steps: shorten it to 15"),
    (dense(), {"neurons_per_core": 4, "cores_per_chip": 6}, "h: needs 10 of cores_per_chip (allowed 6): it takes 10 of them; "
     "neurons_per_core fills them: fewer channels or a larger stride; or 2 chips")])
def test_what_does_not_fit_is_named_with_what_could_help(net: IntegerNetwork, limits: dict[str, int], said: str) -> None:
    found = mapping.place(net, LoihiLimits(**limits))
    assert not found.fits and any(str(m).startswith(said) for m in found.misfits), [str(m) for m in found.misfits]


def test_a_neuron_with_too_many_output_axons_stands_alone_and_is_named() -> None:
    net = IntegerNetwork((IntegerPopulation("in", (2,), None), IntegerPopulation("a", (8,)), IntegerPopulation("b", (12,))),
                         (IntegerProjection("in", "a", Dense(np.full((8, 2), 2.0))),
                          IntegerProjection("a", "b", Dense(np.full((12, 8), 2.0)))))
    roomy = mapping.place(net, LoihiLimits(neurons_per_core=4, output_axons=12), share=False)
    assert roomy.fits and [c.output_axons for c in roomy.cores] == [12, 12, 0, 0, 0]
    assert max(c.output_axons for c in roomy.cores) <= 12
    tight = mapping.place(net, LoihiLimits(neurons_per_core=4, output_axons=2), share=False)
    [misfit] = tight.misfits
    assert (misfit.layer, misfit.limit, misfit.needed) == ("a", "output_axons", 3)
    assert "place its targets on fewer" in str(misfit)


def test_limits_are_replaced_one_by_one(tmp_path: Path) -> None:
    file = tmp_path / "limits.toml"
    file.write_text('neurons_per_core = 1024\nchips = "none"\n[input_axons]\nvalue = 2048\nsource = "our board"\n')
    limits = LoihiLimits.read(file)
    assert limits.neurons_per_core == Limit(1024, "given by the user", "given by the user") and limits.chips.value is None
    assert limits.input_axons.source == "our board" and limits.output_axons == LoihiLimits().output_axons
    assert LoihiLimits.from_dict(limits.to_dict()) == limits
    assert LoihiLimits.loihi1().neurons_per_core.value == 1024
    file.write_text("neurons = 3\n")
    with pytest.raises(ValueError, match=r"limits.toml: there is no limit 'neurons', only neurons_per_core, "):
        LoihiLimits.read(file)
    file.write_text("neurons_per_core = \n")
    with pytest.raises(ValueError, match=r"limits.toml: Invalid value"):
        LoihiLimits.read(file)
    with pytest.raises(ValueError, match="chips must be a whole number of at least 1, or None, got 0"):
        LoihiLimits(chips=0)
    with pytest.raises(ValueError, match="limits: chips must be a number or a table of value, source and trust"):
        LoihiLimits.from_dict({"chips": {"number": 3}})


def test_a_kernel_lies_once_on_a_core() -> None:
    kernel = np.full((4, 2, 3, 3), 2.0)
    kernel[0, 0] = 0.0
    net = IntegerNetwork((IntegerPopulation("in", (2, 8, 8), None), IntegerPopulation("c", (4, 6, 6))),
                         (IntegerProjection("in", "c", Conv2d(kernel)),))
    shared, unrolled = mapping.place(net), mapping.place(net, shared_kernels=False)
    assert shared.cores[0].synapse_bits == 8 * 63 and shared.cores[0].synapses == 36 * 63
    assert unrolled.cores[0].synapse_bits == unrolled.cores[0].unrolled_bits == 36 * 63 * (8 + 13)
    with pytest.raises(ValueError, match="there is no population 'in' on the cores"):
        shared.core_of("in")
