"""NIR files: what we write we read back bit for bit, and what NIR cannot hold is refused by name."""

import json
import math
import os
import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from snnsim import load_network, save_network
from snnsim.hardware import nir
from snnsim.maps import Conv2d, Dense, Sparse, SumPool2d
from snnsim.network import Modulation, Network, Population, Projection, TimeBase
from snnsim.neurons import IF, LI, LIF, AdaptiveLIF, CubaLIF
from snnsim.rule import Fixed, Rule
from tests import networks

RNG = np.random.default_rng(0)
REFUSALS = ("which NIR has no node for", "NIR cannot reshape", "has no bias", "one bias for each channel", "one decay for each",
            "some of its neurons leak", "needs decay and keep below 1", "only pools", "ends in a pooling")


def assert_same(a, b):
    """Bit for bit, dtypes and shapes included."""
    assert repr(a) == repr(b)
    assert (a.time, a.output, a.readout, a.notes, a.classes) == (b.time, b.output, b.readout, b.notes, b.classes)
    for p, q in zip(a.populations, b.populations, strict=True):
        assert_same_arrays(p.parameters, q.parameters)
    for p, q in zip(a.projections, b.projections, strict=True):
        assert (p.source, p.target, p.delay, p.receptor) == (q.source, q.target, q.delay, q.receptor)
        assert (p.bias is None) == (q.bias is None)
        if p.bias is not None:
            assert_same_arrays({"bias": p.bias}, {"bias": q.bias})
        for m, n in zip(p.maps, q.maps, strict=True):
            assert_same_arrays(m.arrays(), n.arrays())


def assert_same_arrays(a, b):
    assert list(a) == list(b)
    for name in a:
        x, y = np.asarray(a[name]), np.asarray(b[name])
        assert (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes()), name


def refusal(function, *arguments, **options):
    """The sentence of the ValueError that the call ends in, or None."""
    try:
        function(*arguments, **options)
    except ValueError as e:
        return str(e)
    return None


def dense(neuron=None, dtype=np.float32, **parameters):
    """Two inputs, three hidden neurons, two outputs; hard reset unless told otherwise."""
    rng = np.random.default_rng(5)

    def weights(dtype, *shape):
        return rng.normal(size=shape).astype(dtype)

    hidden = Population.of("hidden", (3,), neuron or LIF(reset="hard"), 1.0, dtype)
    if parameters:
        hidden = Population("hidden", (3,), hidden.rule, {**hidden.parameters, **parameters})
    return Network((Population("in", (2,)), hidden, Population.of("out", (2,), LI(), 1.0, dtype)),
                   (Projection("in", "hidden", (Dense(weights(dtype, 3, 2)),), weights(dtype, 3)),
                    Projection("hidden", "out", (Dense(weights(dtype, 2, 3)),))),
                   TimeBase(2.5, 12, True, "first"), notes=("a note",), classes=("yes", "no"))


def conv(dtype=np.float64):
    """Every node type: pools, convolutions, dense and sparse maps, chains, skips, a loop, delays, all rules."""
    rng = np.random.default_rng(6)

    def weight(*shape):
        return rng.normal(size=shape).astype(dtype)

    def of(name, shape, neuron):
        return Population.of(name, shape, neuron, 1.0, dtype)

    sparse = Sparse([0, 2, 2, 3] + [3] * 9, [1, 1, 0], weight(3), (5, 12))
    return Network(
        (Population("in", (2, 8, 8)), of("a.b c/d", (3, 4, 4), LIF(tau=7.3)), of("if", (12,), IF(reset="hard")),
         of("5", (5,), CubaLIF()), of("free", (3, 2, 2), LIF(reset="none")), of("output", (5,), LI(tau=3.3))),
        (Projection("in", "a.b c/d", (SumPool2d(2), Conv2d(weight(3, 2, 3, 3), 1, 1)), weight(3, 1, 1)),
         Projection("a.b c/d", "if", (Dense(weight(12, 48)),), delay=2),
         Projection("if", "if", (Dense(weight(12, 12)),), np.zeros(()), delay=1),
         Projection("if", "5", (sparse,), weight(5)),
         Projection("in", "free", (Conv2d(weight(3, 2, 5, 5)), SumPool2d(2))),
         Projection("in", "free", (SumPool2d((7, 7), (1, 1)), Conv2d(weight(3, 2, 1, 1)))),
         Projection("free", "5", (Dense(weight(4, 12)), Dense(weight(5, 4)))),
         Projection("5", "output", (Dense(weight(5, 5)),)),
         Projection("a.b c/d", "output", (Dense(weight(5, 48)),), np.zeros((), dtype))))


@pytest.mark.parametrize("firing", [">", ">="])
@pytest.mark.parametrize("encoding", ["unit_r", "tau_over_dt"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("build", [dense, conv])
def test_a_network_survives_its_nir_file_and_the_file_its_network(tmp_path, build, dtype, encoding, firing):
    network = build(dtype=dtype)
    report = nir.export(network, tmp_path / "a.nir", encoding=encoding, firing=firing, allow_lossy=True)
    again = nir.read(tmp_path / "a.nir")
    assert_same(network, again)
    nir.export(again, tmp_path / "b.nir", encoding=encoding, firing=firing, allow_lossy=True)
    assert (tmp_path / "a.nir").read_bytes() == (tmp_path / "b.nir").read_bytes()
    told = nir.describe(tmp_path / "a.nir")
    assert (told.encoding, told.firing, told.lossy, told.kept) == (encoding, firing, report.lossy, report.kept)
    assert report.size == os.path.getsize(tmp_path / "a.nir")
    assert str(report).startswith(f"{tmp_path / 'a.nir'}: {report.nodes} nodes")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(networks.networks(), st.sampled_from(("unit_r", "tau_over_dt")))
def test_any_network_is_restored_or_refused_by_name(tmp_path, network, encoding):
    path = tmp_path / "net.nir"
    path.unlink(missing_ok=True)
    sentence = refusal(nir.export, network, path, encoding=encoding, allow_lossy=True)
    if sentence is None:
        event("exported")
        assert_same(network, nir.read(path))
    else:
        event(next(reason for reason in REFUSALS if reason in sentence))
        assert sentence.startswith(("population '", "projection "))
        assert not path.exists()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.sampled_from((np.float32, np.float64)), st.booleans())
def test_any_decay_and_weight_are_restored(tmp_path, seed, dtype, each):
    rng = np.random.default_rng(seed)
    decay = (1.0 - 10.0 ** rng.uniform(-7, 0, 40 if each else ())).astype(dtype)
    decay = np.where(decay == 1.0, dtype(0.0), decay).astype(dtype)
    theta = (10.0 ** rng.uniform(-8, 8, 40)).astype(dtype)
    weight = (rng.normal(size=(40, 7)) * 10.0 ** rng.uniform(-20, 20, (40, 7))).astype(dtype)
    neurons = Population("out", (40,), LIF(reset="hard").rule, {"decay": decay, "theta": theta})
    network = Network((Population("in", (7,)), neurons),
                      (Projection("in", "out", (Dense(weight),), rng.normal(size=40).astype(dtype)),), output="out")
    nir.export(network, tmp_path / "net.nir")
    assert_same(network, nir.read(tmp_path / "net.nir"))


def test_the_report_says_what_the_file_cannot_hold(tmp_path):
    report = nir.export(dense(LIF()), tmp_path / "a.nir", allow_lossy=True)
    assert report.lossy == ("population 'hidden' has rule lif_soft: NIR has no soft (subtracting) reset, tools other than "
                            "snnsim will reset it to zero",)
    assert report.kept == ("time base: dt 2.5 ms, steps 12, t0 'first', clip True (NIR has no step: one is written as "
                           "0.0001 s)", "readout by membrane of 'out'")
    with h5py.File(tmp_path / "a.nir") as f:
        assert f["node/nodes/hidden/metadata/snnsim_reset"][()] == b"soft"
        assert f["node/nodes/hidden/type"][()] == b"LIF"


def test_a_modulation_is_left_out_only_where_that_is_allowed(tmp_path):
    """The file says so, and so does the network that is read from it, whose own export is the same file."""
    network, path = dense(), tmp_path / "a.nir"
    groups = np.zeros(3, int)
    modulated = replace(network, modulations=(
        Modulation("hidden", "hidden", "theta", Fixed(LI().rule, {"decay": 0.5}), groups, groups, 5.0, 0.5),))
    with pytest.raises(ValueError, match=r"^modulation hidden->hidden.theta is left out, NIR has no slower rule that moves a "
                                         r"parameter\. Export with allow_lossy=True to write the rest"):
        nir.export(modulated, path)
    report = nir.export(modulated, path, allow_lossy=True)
    assert report.lossy == ("modulation hidden->hidden.theta is left out, NIR has no slower rule that moves a parameter",)
    assert nir.describe(path).lossy == report.lossy
    again = nir.read(path)
    assert again.notes[:-1] == network.notes and again.modulations == ()
    nir.export(again, tmp_path / "b.nir", allow_lossy=True)
    assert path.read_bytes() == (tmp_path / "b.nir").read_bytes()


@pytest.mark.parametrize(("neuron", "sentence"), [
    (LIF(), "population 'hidden' has rule lif_soft: NIR has no soft (subtracting) reset, tools other than snnsim will reset "
            "it to zero. Export with allow_lossy=True to write it so and keep its rule as metadata for snnsim, or train with "
            "reset='hard'"),
    (LIF(reset="none"), "population 'hidden' has rule lif_none: NIR has no neuron without reset, tools other than snnsim will "
                        "reset it to zero. Export with allow_lossy=True"),
    (AdaptiveLIF(), "population 'hidden' has rule 'adaptive_lif', which NIR has no node for: it holds lif_soft, lif_hard, "
                    "lif_none, if_soft, if_hard, cuba_soft, cuba_hard, li. Train with one of these")])
def test_what_nir_cannot_hold_is_refused_and_the_old_file_stands(tmp_path, neuron, sentence):
    (tmp_path / "net.nir").write_bytes(b"old")
    with pytest.raises(ValueError, match="^" + re.escape(sentence)):
        nir.export(dense(neuron), tmp_path / "net.nir")
    assert (tmp_path / "net.nir").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["net.nir"]


def test_a_rule_is_known_by_what_it_does_not_by_its_name(tmp_path):
    rule = Rule("lif_hard", lambda v, x, decay, theta: 0.5 * decay * v + x, lambda v, decay, theta: v - theta,
                lambda v, s, decay, theta: v * (1.0 - s))
    with pytest.raises(ValueError, match=r"population 'hidden' has rule 'lif_hard', which NIR has no node for"):
        nir.export(dense(rule(decay=0.5, theta=1.0)), tmp_path / "net.nir")
    network = dense()
    save_network(network, tmp_path / "net.h5")
    nir.export(load_network(tmp_path / "net.h5"), tmp_path / "net.nir")
    assert_same(network, nir.read(tmp_path / "net.nir"))


@pytest.mark.parametrize(("parameters", "sentence"), [
    ({"decay": [0.5, 1.0, 0.5]}, "population 'hidden': some of its neurons leak and some do not (decay 1)"),
    ({"keep": 1.0}, "population 'hidden': a CubaLIF node of NIR needs decay and keep below 1")])
def test_parameters_that_are_no_time_constants_are_refused(tmp_path, parameters, sentence):
    with pytest.raises(ValueError, match="^" + re.escape(sentence)):
        nir.export(dense(CubaLIF(reset="hard") if "keep" in parameters else None, **parameters), tmp_path / "net.nir")


def test_a_decay_above_1_is_refused(tmp_path):
    rule = Rule("lif_hard", lambda v, x, decay, theta: decay * v + x, lambda v, decay, theta: v - theta,
                lambda v, s, decay, theta: v * (1.0 - s))
    with pytest.raises(ValueError, match="population 'hidden': decay must lie in 0 .. 1 to be a time constant in NIR, got 1.5"):
        nir.export(dense(rule(decay=1.5, theta=1.0)), tmp_path / "net.nir")


def layers(shape, maps, bias=None, target=None, decay=0.5, more=()):
    given = shape
    for m in maps:
        given = m.output_shape(given)
    given = target or given
    values = {"decay": np.broadcast_to(decay, given), "theta": 1.0}
    hidden = Population("hidden", given, LIF(reset="hard").rule, values)
    out = [Population.of("out", more[-1].output_shape(hidden.shape), LI(), 1.0)] if more else []
    return Network((Population("in", shape), hidden, *out),
                   (Projection("in", "hidden", tuple(maps), bias), *([Projection("hidden", "out", more)] if more else [])),
                   output="out" if more else "hidden")


PER_CHANNEL = np.array([0.5, 0.75]).reshape(2, 1, 1)


@pytest.mark.parametrize(("network", "sentence"), [
    (layers((1, 4, 4), [SumPool2d(2)]), "projection in->hidden only pools, and has no weights to take the factor of the "
                                        "neurons' input: export with encoding='tau_over_dt'"),
    (layers((1, 4, 4), [Conv2d(np.ones((2, 1, 1, 1))), SumPool2d(2)], decay=PER_CHANNEL),
     "projection in->hidden ends in a pooling, and the neurons that it feeds differ in decay"),
    (layers((1, 4, 4), [Conv2d(np.ones((2, 1, 1, 1)))], decay=np.linspace(0.5, 0.75, 4)),
     "projection in->hidden ends in a convolution, whose NIR node holds one decay for each channel, but the decay differs "
     "within a channel: export with encoding='tau_over_dt'"),
    (layers((1, 4, 4), [Conv2d(np.ones((2, 1, 1, 1)))], bias=np.arange(4.0)),
     "projection in->hidden ends in a convolution, whose NIR node holds one bias for each channel, but the bias differs "
     "within a channel"),
    (layers((1, 4, 4), [Conv2d(np.ones((2, 1, 1, 1))), SumPool2d(2)], bias=0.5),
     "projection in->hidden ends in SumPool2d(2, 2) stride (2, 2), and a pooling node of NIR has no bias"),
    (layers((9,), [Dense(np.ones((16, 9)))], target=(1, 4, 4), more=(Conv2d(np.ones((2, 1, 3, 3))),)),
     "projection hidden->out, map 0 (Conv2d(2, 1, 3, 3) stride (1, 1) padding (0, 0)): NIR cannot reshape, and 'hidden' is fed "
     "by a dense map"),
    (layers((9,), [Dense(np.full((3, 9), 3e38, np.float32))], decay=0.9),
     "projection in->hidden: the weights times tau/dt are beyond float32: export with encoding='tau_over_dt'"),
    (layers((5000,), [Sparse(np.zeros(5001, int), [], [], (2000, 5000))]),
     "projection in->hidden: NIR has no sparse map, and written dense it takes 76 MB; at most 64 MB are written")])
def test_projections_that_nir_cannot_hold_are_refused(tmp_path, network, sentence):
    with pytest.raises(ValueError, match="^" + re.escape(sentence)):
        nir.export(network, tmp_path / "net.nir")
    assert not os.listdir(tmp_path)


def test_the_other_encoding_takes_what_unit_r_cannot(tmp_path):
    conv = Conv2d(np.ones((2, 1, 1, 1)))
    for network in (layers((1, 4, 4), [SumPool2d(2)]), layers((1, 4, 4), [conv], decay=np.linspace(0.5, 0.75, 4))):
        nir.export(network, tmp_path / "net.nir", encoding="tau_over_dt")
        assert_same(network, nir.read(tmp_path / "net.nir"))


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"encoding must be one of 'unit_r', 'tau_over_dt', 'sinabs', got 'b'"):
        nir.export(dense(), tmp_path / "net.nir", encoding="b")
    with pytest.raises(ValueError, match=r"firing must be one of '>', '>=', got '<'"):
        nir.export(dense(), tmp_path / "net.nir", firing="<")
    with pytest.raises(TypeError, match=r"network must be a Network, got dict; snnsim.lower makes one of a trained net"):
        nir.export({}, tmp_path / "net.nir")
    with pytest.raises(FileNotFoundError, match=r"there is no folder"):
        nir.export(dense(), tmp_path / "no" / "net.nir")
    with pytest.raises(FileNotFoundError, match=r"there is no file"):
        nir.read(tmp_path / "net.nir")
    nir.export(dense(), tmp_path / "net.nir")
    with pytest.raises(ValueError, match=r"net.nir: the file holds its own time base: leave out dt=, or read it with"):
        nir.read(tmp_path / "net.nir", dt=1.0)
    with pytest.raises(ValueError, match=r"dt must be a positive number of ms, got nan"):
        nir.read(tmp_path / "net.nir", dt=math.nan)
    with pytest.raises(ValueError, match=r"/node/nodes/.* takes the file's arrays above the limit"):
        nir.read(tmp_path / "net.nir", limit=100)


def test_a_failure_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    nir.export(dense(), tmp_path / "net.nir")
    before = (tmp_path / "net.nir").read_bytes()

    def full(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("snnsim.hardware.nir.graph._put", full)
    with pytest.raises(OSError, match="disk full"):
        nir.export(conv(), tmp_path / "net.nir", allow_lossy=True)
    assert (tmp_path / "net.nir").read_bytes() == before
    assert os.listdir(tmp_path) == ["net.nir"]


def change(path, name, value):
    with h5py.File(path, "r+") as f:
        del f[name]
        if value is not None:
            f[name] = value


@pytest.mark.parametrize(("name", "value", "sentence"), [
    ("node/nodes/hidden/tau", np.full(3, 1e-3), "node 'hidden': tau is not what was exported: the file was changed after "
                                                "snnsim wrote it: export again, or read(..., plain=True, dt=)"),
    ("node/nodes/hidden/v_threshold", np.ones(2), "node 'hidden': v_threshold is not what was exported"),
    ("node/nodes/hidden/v_threshold", np.array([1, np.nan, 1]), "/hidden/v_threshold must be finite, holds NaN or infinity"),
    ("node/nodes/hidden/v_threshold", None, "/node/nodes/hidden/v_threshold is missing"),
    ("node/nodes/hidden/v_reset", None, "node 'hidden': v_reset is not what was exported"),
    ("node/nodes/hidden/type", "Brain", "node 'hidden' has type 'Brain', which snnsim cannot read: allowed are Input, Output"),
    ("node/nodes/hidden/type", "IF", "node 'hidden' is a IF, exported was a LIF"),
    ("node/nodes/hidden/type", 3, "/node/nodes/hidden/type must be a text"),
    ("node/nodes/hidden/metadata/snnsim_rule", "brain", "snnsim_rule of node 'hidden' must be one of 'lif_soft'"),
    ("node/nodes/hidden/metadata/snnsim_decay", None, "its description of the network does not fit: KeyError('decay')"),
    ("node/nodes/hidden/metadata/snnsim_decay", 0.5, "node 'hidden': tau is not what was exported"),
    ("node/nodes/hidden", None, "'in_to_hidden_affine' -> 'hidden' names node 'hidden', which is missing; the nodes are"),
    ("node/nodes/hidden", 3, "node 'hidden' must be a group"),
    ("node/nodes/hidden/metadata", 3, "/node/nodes/hidden/metadata must be a group"),
    ("node/nodes/in_to_hidden_affine/weight", np.ones((3, 3)), "node 'in_to_hidden_affine': weight is not what was"),
    ("node/nodes/in_to_hidden_affine/weight", "text", "/node/nodes/in_to_hidden_affine/weight must hold numbers, holds"),
    ("node/nodes/in_to_hidden_affine/bias", np.ones(3), "node 'in_to_hidden_affine': bias is not what was exported"),
    ("node/edges", None, "/node/edges must be pairs of node names"),
    ("node/edges", np.ones((2, 2)), "/node/edges must be pairs of node names"),
    ("node/edges", [["in_", "in_to_hidden_affine"]], "'in_' -> 'in_to_hidden_affine' names node 'in_', which is missing"),
    ("node/edges", [["hidden", "in_to_hidden_affine"]], "the edges are not those of the exported network"),
    ("node/type", "LIF", "/node must be a NIRGraph, is 'LIF'"),
    ("node/nodes", None, "is not a NIR file: it has no group /node/nodes"),
    ("node/metadata/snnsim", "{", "Expecting property name"),
    ("node/metadata/snnsim", "{}", "is damaged: its description of the network does not fit: KeyError('schema')"),
    ("node/metadata/snnsim", "[]", "is damaged"), ("node/metadata/snnsim", "[" * 10**5, "is damaged"),
    ("node/metadata/snnsim", '{"schema": 9}', "metadata has schema 9; this version of snnsim reads 2; read(..., plain=True")])
def test_a_changed_file_is_refused_by_node(tmp_path, name, value, sentence):
    path = tmp_path / "net.nir"
    nir.export(dense(), path)
    if isinstance(value, list):
        value = np.array(value, object).astype(h5py.string_dtype())
    change(path, name, value)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}.*{re.escape(sentence)}"):
        nir.read(path)


def test_every_change_of_the_description_is_read_or_refused(tmp_path):
    """Whatever stands in the JSON, the reader ends in a Network or a ValueError that names the file."""
    path = tmp_path / "net.nir"
    nir.export(dense(), path)
    with h5py.File(path) as f:
        good = json.loads(f["node/metadata/snnsim"][()])
    for key in good:
        for bad in (None, 5, "x", [], {}, [{}], [[]], -1, 1e9, [5]):
            change(path, "node/metadata/snnsim", json.dumps({**good, key: bad}))
            assert (refusal(nir.read, path) or str(path)).startswith(str(path))


def test_shapes_that_would_fill_the_memory_are_refused(tmp_path):
    path = tmp_path / "net.nir"
    nir.export(dense(), path)
    with h5py.File(path) as f:
        good = json.loads(f["node/metadata/snnsim"][()])
    good["populations"][1]["shape"] = [10**12]
    change(path, "node/metadata/snnsim", json.dumps(good))
    with pytest.raises(ValueError, match=r"node 'hidden' holds 3 neurons, the exported population \[1000000000000\]"):
        nir.read(path)
    change(path, "node/nodes/node_in/shape", np.array([10**12]))
    with pytest.raises(ValueError, match=r"node 'node_in' has shape \[1000000000000\], whose arrays would be above the limit"):
        nir.read(path)


def test_a_truncated_or_damaged_file_is_refused(tmp_path):
    path = tmp_path / "net.nir"
    network = conv()
    nir.export(network, path, allow_lossy=True)
    whole = path.read_bytes()
    for length in [*range(0, 200, 23), *range(200, len(whole) - 1, len(whole) // 40), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"net.nir"):
            nir.read(path)
    survived = 0
    for place in RNG.integers(0, len(whole), 120):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << int(RNG.integers(8))]) + whole[place + 1:])
        sentence = refusal(nir.read, path)
        if sentence is None:  # a gap between objects, or something that is not read
            survived += 1
            assert_same(network, nir.read(path))
        else:
            assert "net.nir" in sentence
    assert survived < 60


def test_an_array_that_claims_more_than_the_limit_is_not_read(tmp_path):
    path = tmp_path / "net.nir"
    nir.export(dense(), path)
    with h5py.File(path, "r+") as f:
        del f["node/nodes/hidden/r"]
        f.create_dataset("node/nodes/hidden/r", (10**6, 10**6), np.float64, chunks=(1000, 1000), compression="gzip")
    with pytest.raises(ValueError, match=r"/node/nodes/hidden/r takes the file's arrays above the limit"):
        nir.read(path)
