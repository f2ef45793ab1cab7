"""Recordings in pieces: the same steps and the same spikes as of the whole, wherever they are cut."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim import datasets, engine
from snnsim.datasets import EVENT, EventBatch, Sensor, bin_events, bin_stream, make_events
from snnsim.maps import Delayed, Dense, SumPool2d
from snnsim.network import Network, Population, Projection, TimeBase
from snnsim.neurons import IF, LI, LIF
from tests.networks import counts, networks

SETTINGS = settings(deadline=None, max_examples=20)
SENSOR = Sensor(3, 5)


@st.composite
def recordings(draw):
    """Events with long silences and crowds, and where to cut them: pieces of 0 events, too."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(0, 60))
    t = np.cumsum(rng.choice([0, 1, 3, 1000, 20_000], n, p=[0.4, 0.3, 0.1, 0.15, 0.05]))
    t += draw(st.sampled_from([0, 5, 123_456]))
    events = make_events(t, rng.integers(0, 5, n), rng.integers(0, 3, n), rng.integers(0, 2, n))
    return events, np.split(events, np.sort(rng.integers(0, n + 1, draw(st.integers(0, 12)))))


def joined(batches):
    """One batch of batches one after another."""
    ends = np.cumsum([0, *(len(b.indices) for b in batches)])
    indptr = np.concatenate([[0], *(b.indptr[1:] + e for b, e in zip(batches, ends, strict=False))]).astype(np.int64)
    return EventBatch(indptr, np.concatenate([b.indices for b in batches]), np.concatenate([b.values for b in batches]),
                      (sum(b.shape[0] for b in batches), *batches[0].shape[1:]))


@SETTINGS
@given(recordings(), st.sampled_from([1.0, 0.57, 0.0013, 1.0 / 3.0, 30.0]), st.one_of(st.none(), st.integers(1, 200)),
       st.booleans(), st.sampled_from(["zero", "first"]), st.sampled_from([1, 2, 7, 4096]))
def test_steps_of_pieces_are_those_of_the_whole(recording, dt, steps, clip, t0, most):
    events, pieces = recording
    span = int(events["t"][-1] - (events["t"][0] if t0 == "first" else 0)) if len(events) else 0
    most = max(most, (steps or int(span / (1000 * dt))) // 300)
    whole = bin_events([events], SENSOR, dt, steps, clip, t0)
    batches = list(bin_stream(pieces, SENSOR, dt, steps, clip, t0, most))
    assert max(b.shape[0] for b in batches) <= most
    found = joined(batches)
    assert found.shape == whole.shape
    for name in ("indptr", "indices", "values"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))


def test_what_cannot_be_binned_is_said():
    early, late = make_events([5], [0], [0], [0]), make_events([7], [0], [0], [0])
    for pieces, options, sentence in (
            ([late, early], {}, "piece 1 begins at t = 5 after 7: times must not run backwards"),
            ([late, make_events([8], [9], [0], [0])], {},
             "piece 1: event 0 has x = 9, y = 0: outside the sensor of width 5 and height 3"),
            ([make_events([2**60], [0], [0], [0])], {},
             "the first event comes after more than 134217728 steps of 1 ms (t = 1152921504606846976 µs): use t0=\"first\", "
             "or a larger dt"),
            ([late], {"most": 0}, "most must be a whole number from 1, got 0"),
            ([late], {"steps": 0}, "steps must be a whole number from 1, got 0")):
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            list(bin_stream(pieces, SENSOR, 1.0, **options))
    crowd = np.zeros(2**23 + 1, EVENT)
    with pytest.raises(ValueError, match="^the recording has 16777218 events of one pixel in one step"):
        list(bin_stream([crowd, crowd], SENSOR, 1.0))
    (batch,) = bin_stream([crowd, crowd], SENSOR, 1.0, clip=True)
    assert batch.values.tolist() == [1.0]


def same(network, whole, pieces, record=(), **options):
    """The pieces' results against the whole's: spikes, membranes, scores, prediction, operations; every bit."""
    expected = engine.run(network, whole, record=record, threads=1, **options)
    found = list(engine.stream(network, pieces, record=record, **options))
    for name, spikes in expected.spikes.items():
        for column in ("step", "neuron"):
            parts = [getattr(r.spikes[name], column) for r in found]
            np.testing.assert_array_equal(np.concatenate(parts), getattr(spikes, column))
        np.testing.assert_array_equal(np.concatenate([r.spikes[name].dense() for r in found]), spikes.dense())
    for name in record:
        np.testing.assert_array_equal(np.concatenate([r.membranes[name] for r in found]), expected.membranes[name])
    np.testing.assert_array_equal(found[-1].scores, expected.scores)
    assert np.all(found[-1].prediction == expected.prediction)
    assert {n: sum(r.synaptic_events[n] for r in found) for n in expected.synaptic_events} == expected.synaptic_events
    return expected, found


@SETTINGS
@given(st.data(), networks(), st.booleans(), st.booleans())
def test_any_network_gives_the_same_in_pieces(data, network, clock, exact):
    dense = data.draw(counts(network, alone=True))
    cuts = data.draw(st.lists(st.integers(1, len(dense)), max_size=5))
    pieces = [p for p in np.split(dense, sorted(set(cuts))) if len(p)]
    record = data.draw(st.sampled_from([(), (network.output,)]))
    same(network, dense, pieces, record, mode="clock" if clock else "event", exact=exact)


def delayed(dtype, steps=None, t0="zero", dt=1.0):
    """Input to 8 neurons by synapses with delays of up to 6 steps, these to themselves, to a readout, all float32 or 64."""
    rng = np.random.default_rng(0)
    return Network((Population("in", (2, 3, 5)), Population.of("a", (8,), LIF(tau=9.0), 1.0, dtype),
                    Population.of("b", (4,), IF(), 1.0, dtype), Population.of("out", (3,), LI(), 1.0, dtype)),
                   (Projection("in", "a", (Delayed(rng.normal(0.4, 0.5, (8, 30)).astype(dtype), rng.integers(0, 7, (8, 30))),)),
                    Projection("a", "a", (Dense(rng.normal(0, 0.4, (8, 8)).astype(dtype)),), delay=5),
                    Projection("in", "b", (SumPool2d(3, 1), Dense(rng.normal(0.2, 0.3, (4, 6)).astype(dtype))), delay=3),
                    Projection("a", "out", (Delayed(rng.normal(size=(3, 8)).astype(dtype), rng.integers(0, 4, (3, 8))),)),
                    Projection("b", "out", (Dense(rng.normal(size=(3, 4)).astype(dtype)),))), TimeBase(dt, steps, t0=t0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@SETTINGS
@given(recordings(), st.one_of(st.none(), st.integers(1, 300)), st.sampled_from(["zero", "first"]),
       st.sampled_from([1.0, 0.57]))
def test_events_through_delays_in_pieces(dtype, recording, steps, t0, dt):
    events, pieces = recording
    same(delayed(dtype, steps, t0, dt), events, pieces)


@pytest.mark.parametrize("chunk", [1, 13, 1000])
def test_a_file_in_pieces(tmp_path, chunk):
    """Of real length: neurons that sleep over many pieces, buffers that grow, spikes counted from the beginning."""
    rng = np.random.default_rng(1)
    n = 3000
    t = np.sort(np.concatenate([rng.integers(0, 100_000, n - 10), rng.integers(5_000_000, 5_100_000, 10)]))
    events = make_events(t, rng.integers(0, 5, n), rng.integers(0, 3, n), rng.integers(0, 2, n))
    datasets.write(tmp_path / "a.es", events, SENSOR)
    net = delayed(np.float32)
    expected, found = same(net, events, datasets.stream(tmp_path / "a.es", chunk))
    assert len(expected.spikes["a"]) > 100 and len(found) > 1
    assert found[1].spikes["a"].first == found[0].spikes["a"].shape[0]


def test_what_cannot_be_streamed_is_said():
    net, events = delayed(np.float64), make_events([5], [0], [0], [0])
    for pieces, options, sentence in (
            (events, {}, "pieces must be an iterable of arrays of events, of batches or of counts, got one array: engine.run "
                         "takes a whole sample"),
            ([np.ones((3, 2, 2, 3, 5))], {}, "pieces must be of one sample, got one of 2 samples"),
            ([events], {"mode": "fast"}, "mode must be one of 'event', 'clock', got 'fast'"),
            ([events], {"record": "c"}, "record must be one of 'a', 'b', 'out', got 'c'")):
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
            list(engine.stream(net, pieces, **options))


def test_no_event_is_one_silent_step():
    (result,) = engine.stream(delayed(np.float64), [])
    assert result.spikes["a"].shape == (1, 1, 8) and len(result.spikes["a"]) == 0


def test_a_file_is_simulated_as_its_recording_is(tmp_path, capsys):
    """What `snnsim run --events` does, and what it prints."""
    from typer.testing import CliRunner

    from snnsim.cli.app import app
    from snnsim.network_file import save_network
    from snnsim.report import simulate, simulate_file

    rng = np.random.default_rng(2)
    events = make_events(np.sort(rng.integers(0, 90_000, 800)), *(rng.integers(0, n, 800) for n in (5, 3, 2)))
    net, path = delayed(np.float32), tmp_path / "a.es"
    datasets.write(path, events, SENSOR)
    whole = simulate(net, [datasets.read(path)])
    for chunk in (7, 1000):
        found = simulate_file(net, path, chunk=chunk)
        assert {**found.to_dict(), "ms_per_sample": 0} == {**whole.to_dict(), "ms_per_sample": 0, "updates": found.updates}
        assert found.updates == pytest.approx(whole.updates, rel=1e-12)
    save_network(net, tmp_path / "net.h5")
    command = ["run", str(tmp_path / "net.h5"), "--events", str(path)]
    said = CliRunner().invoke(app, [*command, "--json"])
    assert said.exit_code == 0 and f'"events": [\n    {len(events)}\n  ]' in said.output
    refused = CliRunner().invoke(app, [*command, "--limit", "3"])
    assert refused.exit_code == 2 and "--events takes one recording" in refused.output
    refused = CliRunner().invoke(app, ["run", str(tmp_path / "net.h5"), str(path), "--order", "drop"])
    assert refused.exit_code == 2 and "--order belongs to --events" in refused.output
    datasets.write(path, events[:1], Sensor(4, 5))
    with pytest.raises(ValueError, match=r"a.es is of a sensor of 5 x 4 pixels, but the network's input has the shape "
                                         r"\(2, 3, 5\)$"):
        simulate_file(net, path)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path):
    """1,000 neurons, in a process of its own: as much for 4 million events as for a half, within the bound."""
    from benchmarks import stream
    from snnsim.network_file import save_network

    save_network(stream.network(), tmp_path / "net.h5")
    peaks = []
    for events in (500_000, 500_000, 4_000_000):  # the first compiles
        stream.write(tmp_path / "events.raw", events)
        peaks.append(stream.measured(tmp_path / "net.h5", tmp_path / "events.raw", 2**18)["peak_mb"])
    assert peaks[2] <= stream.BOUND_MB
    assert peaks[2] <= peaks[1] + 20  # the events more are 45 MB, their steps as much again
