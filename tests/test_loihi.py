"""Files for Loihi: what is written is read as it was, byte by byte; what cannot be held is refused, and damage is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim.hardware import integer
from snnsim.hardware.integer import IntegerNetwork, IntegerPopulation, IntegerProjection
from snnsim.hardware.loihi import netx, process, script
from snnsim.hardware.loihi.netx_write import as_lava_dl
from snnsim.maps import Conv2d, Delayed, Dense, Sparse
from snnsim.network import TimeBase
from tests.loihi_nets import drawn

P, Q = IntegerPopulation, IntegerProjection
EVEN = 2.0 * np.arange(-6, 6).reshape(3, 4)


def same(a: IntegerNetwork, b: IntegerNetwork) -> None:
    for x, y in zip(a.populations, b.populations, strict=True):
        for name in ("name", "shape", "reset", "bias_exponent", "scale"):
            assert getattr(x, name) == getattr(y, name)
        for name in ("du", "dv", "vth", "bias", "start"):
            np.testing.assert_array_equal(getattr(x, name), getattr(y, name), strict=True)
    for x, y in zip(a.projections, b.projections, strict=True):
        assert type(x.map) is type(y.map)
        assert all(getattr(x, n) == getattr(y, n) for n in ("source", "target", "exponent", "bits", "sign", "delay"))
        for name, value in vars(x.map).items():
            np.testing.assert_array_equal(value, getattr(y.map, name))
        assert x.mantissas.dtype == y.mantissas.dtype
    for name in ("time", "output", "readout", "latency", "classes", "notes", "report"):
        assert getattr(a, name) == getattr(b, name)


def named(net: IntegerNetwork) -> tuple[str, ...]:
    return tuple(f"ä{i}" for i in range(net.populations[-1].size))


def told(net: IntegerNetwork) -> IntegerNetwork:
    """With everything that a network may hold beside its neurons."""
    return replace(net, time=TimeBase(dt=0.5, steps=30), classes=named(net), notes=("rounded",),
                   report={"out": {"threshold_error": 1.0 / 3.0}})


@pytest.mark.parametrize("seed", range(9))
def test_a_description_holds_everything(tmp_path: Path, seed: int) -> None:
    net = told(drawn(seed)[0])
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        process.write(net if name == "a" else process.read(tmp_path / "a" / "net.json"), tmp_path / name / "net.json")
    same(net, process.read(tmp_path / "b" / "net.json"))
    for name in ("net.json", "net.arrays.h5"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["net.arrays.h5", "net.json"]
    text = json.loads((tmp_path / "a" / "net.json").read_text())
    assert text["constants"]["alignment_bits"]["value"] == 6 and all(c["source"] for c in text["constants"].values())


@pytest.mark.parametrize("seed", range(9))
def test_lava_dls_file_holds_everything_of_a_chain(tmp_path: Path, seed: int) -> None:
    net, counts = drawn(seed, plain=True)
    net = replace(net, time=TimeBase(dt=0.5), classes=named(net), notes=("rounded",))
    netx.write(net, tmp_path / "a.net")
    again = netx.read(tmp_path / "a.net")
    netx.write(again, tmp_path / "b.net")
    assert (tmp_path / "a.net").read_bytes() == (tmp_path / "b.net").read_bytes()
    assert [p.name for p in again.populations] == [p.name for p in net.populations]
    for q, r in zip(net.projections, again.projections, strict=True):
        assert (q.exponent, q.bits, q.sign) == (r.exponent, r.bits, r.sign)
    names = [p.name for p in net.populations[1:]]
    ours, theirs = (integer.run(n, counts, record=names) for n in (net, again))
    for name in names:
        np.testing.assert_array_equal(ours.v[name], theirs.v[name])
    assert again.time == net.time and again.classes == net.classes and again.latency == net.latency
    with h5py.File(tmp_path / "a.net", "r+") as f:
        del f["snnsim"]
    plain = replace(netx.read(tmp_path / "a.net"), readout="membrane")
    np.testing.assert_array_equal(integer.run(plain, counts, record=[plain.output]).v[plain.output], ours.v["out"])


def test_a_convolution_holds_the_least_weight(tmp_path: Path) -> None:
    """-256, which both signs have and no weight of one sign; half of 74 is odd, and no mantissa."""
    weight = np.array([[[[-256.0, 74.0], [128.0, -32.0]]]])
    populations = (IntegerPopulation("in", (1, 5, 4), None), IntegerPopulation("out", (1, 4, 3), "hard", 0, 0, 100))
    net = IntegerNetwork(populations, (IntegerProjection("in", "out", Conv2d(weight, 1, 0), 0, 8, "mixed"),), latency=1,
                         readout="count")
    netx.write(net, tmp_path / "a.net")
    again = netx.read(tmp_path / "a.net")
    assert again.projections[0].exponent == 0 and again.projections[0].bits == 8
    np.testing.assert_array_equal(again.projections[0].map.arrays()["weight"], weight)
    with h5py.File(tmp_path / "a.net", "r+") as f:
        del f["snnsim"]
    plain = netx.read(tmp_path / "a.net").projections[0]
    np.testing.assert_array_equal(plain.map.arrays()["weight"] * 2.0**plain.exponent, weight)


def test_a_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    netx.write(chain(), tmp_path / "a.net")
    written = (tmp_path / "a.net").read_bytes()
    with h5py.File(tmp_path / "a.net") as f:
        names: list[str] = []
        f["layer"].visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    assert {"1/weight", "1/neuron/vThMant", "1/neuron/iDecay", "0/shape"} <= set(names)
    for name in (*names, "1/bias", None):
        (tmp_path / "a.net").write_bytes(written)
        with h5py.File(tmp_path / "a.net", "r+") as f:
            if name is None:  # as written before there was a checksum
                told = {**json.loads(f["snnsim"][()]), "schema": 1}
                del f["snnsim"], told["sha256"]
                f["snnsim"] = json.dumps(told)
            elif name not in f["layer"]:
                f[f"layer/{name}"] = np.ones(3, np.int32)
            elif f["layer"][name].dtype.kind in "SO":
                f["layer"][name][...] = b"LOIHI"
            else:
                f["layer"][name][...] = f["layer"][name][()] + 2
        if name is None:
            assert [p.name for p in netx.read(tmp_path / "a.net").populations] == ["in", "h"]
            continue
        with pytest.raises(ValueError, match=r"a\.net.*"):
            netx.read(tmp_path / "a.net")
        if name in ("1/weight", "1/neuron/vThMant", "1/bias"):
            with pytest.raises(ValueError, match=r"a\.net: its layers are not what was exported: the file was changed after"):
                netx.read(tmp_path / "a.net")
            with h5py.File(tmp_path / "a.net", "r+") as f:
                del f["snnsim"]
            assert [p.name for p in netx.read(tmp_path / "a.net").populations] == ["input", "layer1"]


def test_a_pool_is_a_convolution_of_each_channel(tmp_path: Path) -> None:
    net, _ = drawn(2, plain=True)
    netx.write(net, tmp_path / "a.net")
    with h5py.File(tmp_path / "a.net", "r") as f:
        channels = net.populations[1].shape[0]
        assert f["layer/2/groups"][()] == channels and f["layer/2/weight"].shape[:2] == (channels, 1)
        assert [f[f"layer/{i}/type"][0] for i in range(6)] == [b"input", b"conv", b"conv", b"flatten", b"dense", b"dense"]


def chain(q: Any = None, p: Any = None, **options: Any) -> IntegerNetwork:
    return IntegerNetwork((P("in", (4,), None), p or P("h", (3,), vth=5)), (q or Q("in", "h", Dense(EVEN)),), **options)


def branched(*ends: tuple[str, str]) -> IntegerNetwork:
    return IntegerNetwork((P("in", (3,), None), P("a", (3,)), P("b", (3,))), [Q(*e, Dense(2 * np.eye(3))) for e in ends])


IMAGE = IntegerNetwork((P("in", (1, 3, 3), None), P("h", (1, 2, 2))),
                       (Q("in", "h", Conv2d(np.full((1, 1, 2, 2), 2.0)), delay=2),))
LOOP = IntegerNetwork((P("in", (3,), None), P("a", (3,))),
                      (Q("in", "a", Dense(2 * np.eye(3))), Q("a", "a", Dense(2 * np.eye(3)), delay=2)))


@pytest.mark.parametrize(("net", "said"), [
    (chain(p=P("h", (3,), "soft")), "population 'h' has a soft reset: lava-dl's neurons reset to 0"),
    (chain(p=P("h", (3,), du=[1, 2, 3])), "population 'h' has du for each neuron"),
    (chain(p=P("h", (3,), vth=[1, 2, 3])), "population 'h' has vth for each neuron"),
    (chain(p=P("h", (3,), bias=3, bias_exponent=2)), "bias of population 'h' has the exponent 2: lava-dl's"),
    (chain(Q("in", "h", Dense(EVEN), delay=64)), "projection in->h has delays up to 64 steps: lava-dl's file holds 63"),
    (chain(Q("in", "h", Dense(EVEN * 5 + 128), exponent=1)), "weights of projection in->h cannot be kept .* makes"),
    (chain(Q("in", "h", Dense(np.full((3, 4), 255.0)), exponent=1, sign="exc")), "they reach from 510 to 510, which is"),
    (chain(Q("in", "h", Dense(EVEN), exponent=-3)), "projection in->h has the exponent -3, with which its weights are"),
    (chain(Q("in", "h", Dense(np.full((3, 4), -128.0)), sign="inh")), r"it makes 0 of the -128 at \(0, 0\)"),
    (chain(Q("in", "h", Dense(np.zeros((3, 4))))), "cannot be kept by lava-dl's file: all are 0"),
    (branched(("in", "a"), ("in", "b"), ("a", "b")), "population 'in' has 2 projections to others, in->a, in->b"),
    (branched(("in", "a"), ("a", "b"), ("b", "a")), "population 'a' has 2 projections into it, in->a and b->a"),
    (branched(("in", "b")), "holds a chain from the input to the output 'b': here it ends at 'b' and has 1 of 2 populations"),
    (IMAGE, "projection in->h is a convolution with a delay of 2 steps"),
    (LOOP, "projections in->a and a->a: a recurrent layer of lava-dl has dense weights and no delays")])
def test_what_lava_dls_file_cannot_hold_is_refused(tmp_path: Path, net: IntegerNetwork, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        netx.write(net, tmp_path / "net.net")
    assert not list(tmp_path.iterdir())


def test_biases_of_other_exponents_are_taken_where_they_fit(tmp_path: Path) -> None:
    for exponent, bias in ((7, 5), (2, 32)):
        netx.write(chain(p=P("h", (3,), bias=bias, bias_exponent=exponent)), tmp_path / "net.net")
        assert netx.read(tmp_path / "net.net").populations[1].bias_exponent == exponent
        with h5py.File(tmp_path / "net.net") as f:
            assert f["layer/1/bias"][()].tolist() == [bias << exponent >> 6] * 3


@given(st.integers(0, 2**31), st.integers(1, 300), st.sampled_from(["mixed", "exc", "inh"]))
@settings(max_examples=50, deadline=None)
def test_even_weights_pass_lava_dl_unchanged(seed: int, largest: int, sign: str) -> None:
    """Mixed signs always; one sign but where the largest is a power of two below zero."""
    w = 2 * np.random.default_rng(seed).integers(-min(largest, 128), min(largest, 127) + 1, (3, 5))
    w = {"mixed": w, "exc": np.abs(w), "inh": -np.abs(w)}[sign]
    w.flat[:2] = {"mixed": (2, -2), "exc": (2, 4), "inh": (-2, -6)}[sign]
    found, shift = as_lava_dl(np.clip(w, -254, 254))
    if sign != "inh":
        np.testing.assert_array_equal(found, np.clip(w, -254, 254) << shift)


def theirs(path: Path, **changes: Any) -> Path:
    """A file as lava-dl writes them: floats, a variable text, no input layer; with changes."""
    rng = np.random.default_rng(0)
    weight = 2.0 * rng.integers(-60, 60, (4, 60)).astype(np.float32)
    held: dict[str, Any] = {
        "layer/0/type": np.array([b"conv"], "S10"), "layer/0/shape": [3, 4, 5], "layer/0/inChannels": 2,
        "layer/0/outChannels": 3,
        "layer/0/kernelSize": [3, 2], "layer/0/stride": [2, 1], "layer/0/padding": [1, 0], "layer/0/dilation": [1, 1],
        "layer/0/groups": 1, "layer/0/weight": 2.0 * rng.integers(-60, 60, (3, 2, 3, 2)).astype(np.float32),
        "layer/0/neuron/type": "CUBA", "layer/0/neuron/iDecay": 1024, "layer/0/neuron/vDecay": 123,
        "layer/0/neuron/vThMant": 80,
        "layer/0/neuron/refDelay": 1, "layer/0/neuron/gradedSpike": False, "layer/0/bias": np.arange(3),
        "layer/1/type": np.array([b"flatten"], "S10"),
        "layer/2/type": np.array([b"dense"], "S10"), "layer/2/shape": [4], "layer/2/inFeatures": 60, "layer/2/outFeatures": 4,
        "layer/2/weight": weight + 0.3 * np.sign(weight), "layer/2/delay": np.arange(60) % 7,
        "layer/2/neuron/type": "LOIHI", "layer/2/neuron/iDecay": 4096, "layer/2/neuron/vDecay": 0,
        "layer/2/neuron/vThMant": 2**18 - 1}
    held |= {k.replace("__", "/"): v for k, v in changes.items()}
    with h5py.File(path, "w") as f:
        for name, value in held.items():
            if value is not None:
                f[name] = value
    return path


def test_files_of_lava_dl_are_read_as_it_runs_them(tmp_path: Path) -> None:
    net = netx.read(theirs(tmp_path / "a.net"), input_shape=(2, 7, 6))
    conv, dense = net.populations[1:]
    assert conv.shape == (3, 4, 5) and (int(conv.du), int(conv.dv), int(conv.vth), conv.reset) == (1023, 123, 80, "hard")
    assert conv.bias.ravel().tolist() == [0, 1, 2] and conv.bias_exponent == 6
    assert dense.reset == "none" and int(dense.du) == 4095
    q = net.projections[1]
    assert isinstance(q.map, Delayed) and np.all(q.mantissas % 2 == 0) and q.exponent == 0 and q.map.longest == 6
    np.testing.assert_array_equal(np.asarray(q.map.delay)[3], np.arange(60) % 7)
    assert isinstance(net.projections[0].map, Conv2d) and net.projections[0].map.stride == (2, 1) and net.latency == 2
    grouped = netx.read(theirs(
        tmp_path / "b.net", layer__0__groups=2, layer__0__weight=np.full((4, 1, 2, 2), 2.0), layer__0__shape=[4, 3, 4],
        layer__0__stride=2, layer__0__padding=[0, 0], layer__0__dilation=[1, 2], layer__0__bias=None,
        layer__2__weight=np.full((4, 48), 6.0), layer__2__delay=3), input_shape=(2, 7, 9))
    kernel = grouped.projections[0].mantissas
    assert kernel.shape == (4, 2, 2, 3) and kernel[0, :, 0].tolist() == [[2, 0, 2], [0, 0, 0]] and kernel[3, 0].max() == 0
    assert isinstance(grouped.projections[1].map, Dense) and grouped.projections[1].delay == 4
    for first, rest, exponent, found in ((-101, 50, -1, {-202, 100}), (-128, -2, 0, {-126, -2})):  # the latter are cut by it
        weight = np.full((4, 60), rest)
        weight[0] = first
        q = netx.read(theirs(tmp_path / "c.net", layer__2__weight=weight), input_shape=(2, 7, 6)).projections[1]
        assert q.exponent == exponent and set(q.mantissas.ravel()) == found


@pytest.mark.parametrize(("changes", "said"), [
    ({"layer__0__type": np.array([b"pool"], "S10")}, "layer 0 has type 'pool', which lava-dl itself does not read"),
    ({"layer__0__type": np.array([b"lstm"], "S10")}, "layer 0 has type 'lstm': input, dense, dense_rec, conv and"),
    ({"layer__0__type": None}, "layer 0: type must be a text"),
    ({"layer__0__neuron__type": "SDNN"}, "layer 0: neuron/type is 'SDNN': CUBA and LOIHI can be read"),
    ({"layer__0__neuron__iDecay": 0}, r"layer 0: neuron/iDecay must be a whole number in 1 \.\. 4096, got 0"),
    ({"layer__2__neuron__vThMant": None}, "neuron/vThMant is missing"),
    ({"layer__2__weight": None}, "layer/2/weight is missing"),
    ({"layer__2__weight": np.zeros((4, 60))}, "layer 2: weight cannot be used: all are 0"),
    ({"layer__2__weight": np.full((4, 60), np.nan)}, "layer 2: weight must be at most"),
    ({"layer__2__weight": np.full((4, 60), 300)}, "layer 2: weight cannot be used: they reach from 300 to 300"),
    ({"layer__2__weight": np.full((4, 59), 2)}, "layer 2: weight has 59 inputs, but 'layer0' has 60 neurons"),
    ({"layer__2__delay": np.arange(59)}, r"layer 2: delay has shape \(59,\), which does not fit weights \(4, 60\)"),
    ({"layer__2__delay": -1}, "layer 2: delay must be at least 0, got -1"),
    ({"layer__0__shape": [3, 4, 6]}, r"layer 0: shape is \(3, 4, 6\), but its convolution gives \(3, 4, 5\)"),
    ({"layer__0__stride": [0, 1]}, r"layer 0: stride must be one or two whole numbers in 1 \.\. 127"),
    ({"layer__0__bias": np.arange(4)}, r"layer 0: bias has shape \(4,\), which does not fit its neurons \(3, 4, 5\)"),
    ({"layer__0__bias": np.full(3, 5000)}, "layer 0: bias of population 'layer0' must be whole numbers"),
    ({"layer__4__type": np.array([b"flatten"], "S10")}, r"its layers must be named 0 \.\. 3"),
    ({"snnsim": "{}"}, r"is damaged: KeyError\('schema'\)"), ({"snnsim": "["}, "Expecting value")])
def test_damaged_files_of_lava_dl_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=rf"a\.net.*{said}"):
        netx.read(theirs(tmp_path / "a.net", **changes), input_shape=(2, 7, 6))
    h5py.File(tmp_path / "a.net", "r+").close()  # which fails while it is open for reading


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    netx.write(drawn(2, plain=True)[0], folder / "a.net")
    process.write(drawn(0)[0], folder / "a.json")
    return folder


def named_in(error: ValueError, file: str) -> None:
    assert file in str(error)


ARRAYS = st.tuples(st.sampled_from([(), (0,), (1,), (2,), (3,), (4, 60), (1, 1, 1), (4, 2, 1, 1), (2, 1, 1, 1, 1)]),
                   st.sampled_from([-1, 0, 1, 2, 3, 60, 4096, 2**31, 2**62, 0.5, np.inf, np.nan])).map(lambda a: np.full(*a))


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_other_datasets_raise_value_errors_only(written: Path, data: st.DataObject) -> None:
    path = theirs(written / "theirs.net")
    with h5py.File(path, "r+") as f:
        names: list[str] = []
        f.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True)):
            del f[name]
            value = data.draw(ARRAYS | st.text("CUBApool", max_size=4) | st.none())
            if value is not None:
                f[name] = value
    try:
        netx.read(path, input_shape=(2, 7, 6))
    except ValueError as e:
        named_in(e, "theirs.net")


def test_files_that_begin_with_a_convolution_need_the_shape_of_their_input(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"does not tell the shape of its input: give read\(\.\.\., input_shape="):
        netx.read(theirs(tmp_path / "a.net"))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_broken_bytes_raise_value_errors_only(written: Path, data: st.DataObject) -> None:
    for name, read in (("a.net", netx.read), ("a.json", process.read)):
        raw = bytearray((written / name).read_bytes())
        raw = raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw
        for _ in range(data.draw(st.integers(1, 8)) if raw else 0):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        broken = written / f"a.broken{Path(name).suffix}"
        broken.write_bytes(raw)
        try:
            read(broken)
        except ValueError as e:
            named_in(e, str(broken))


@given(st.recursive(st.none() | st.booleans() | st.integers(-3, 70000) | st.floats() | st.text(max_size=3),
                    lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text(max_size=3), c, max_size=2)), st.data())
@settings(max_examples=60, deadline=None)
def test_descriptions_with_other_values_raise_value_errors_only(written: Path, value: Any, data: st.DataObject) -> None:
    d = json.loads((written / "a.json").read_text())
    at, key = d, data.draw(st.sampled_from(sorted(d)))
    while isinstance(at[key], (dict, list)) and at[key] and data.draw(st.booleans()):
        at = at[key]
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
    at[key] = value
    (written / "b.json").write_text(json.dumps(d))
    try:
        process.read(written / "b.json")
    except ValueError as e:
        named_in(e, "b.json")


def test_descriptions_and_their_arrays_belong_together(tmp_path: Path) -> None:
    process.write(drawn(0)[0], tmp_path / "a.json")
    process.write(drawn(1)[0], tmp_path / "b.json")
    (tmp_path / "b.arrays.h5").replace(tmp_path / "a.arrays.h5")
    with pytest.raises(ValueError, match=r"a.json: a.arrays.h5 does not hold the arrays that this was written with"):
        process.read(tmp_path / "a.json")
    (tmp_path / "a.arrays.h5").unlink()
    with pytest.raises(ValueError, match=r"its arrays, a.arrays.h5, are missing"):
        process.read(tmp_path / "a.json")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        process.read(tmp_path / "c.json")
    with pytest.raises(ValueError, match="path must not end in .h5"):
        process.write(drawn(0)[0], tmp_path / "b.h5")
    with pytest.raises(ValueError, match="the report of the network must hold finite numbers"):
        process.write(replace(drawn(0)[0], report={"h": {"error": float("nan")}}), tmp_path / "c.json")


def test_descriptions_of_schema_1_start_at_0(tmp_path: Path) -> None:
    nets = chain(), chain(p=P("h", (3,), vth=5, start=[4, -2, 0]))
    for schema, starts, net in ((1, False, nets[0]), (1, True, nets[1]), (2, True, nets[1])):
        process.write(net, tmp_path / "a.json")
        d = json.loads((tmp_path / "a.json").read_text())
        assert d["schema"] == 2
        d["schema"] = schema
        for p in d["populations"] if not starts else ():
            del p["start"]
        (tmp_path / "a.json").write_text(json.dumps(d))
        same(process.read(tmp_path / "a.json"), net)
    del d["populations"][1]["start"]
    (tmp_path / "a.json").write_text(json.dumps(d))
    with pytest.raises(ValueError, match=r"a.json is damaged: it does not fit the schema: KeyError\('start'\)"):
        process.read(tmp_path / "a.json")
    (tmp_path / "a.json").write_text(json.dumps({**d, "schema": 3, "version": "9.9.9"}))
    with pytest.raises(ValueError, match=r"schema must be 1 or 2, got 3: read it with the snnsim that wrote it, '9.9.9', or"):
        process.read(tmp_path / "a.json")


def test_a_failed_write_leaves_what_stood_there(tmp_path: Path) -> None:
    for write, name in ((netx.write, "a.net"), (process.write, "a.json"), (script.write, "a.py")):
        write(chain(), tmp_path / name)
        before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
        with pytest.raises(ValueError, match="soft|finite"):
            write(chain(p=P("h", (3,), "soft"), report={"h": {"error": float("inf")}}), tmp_path / name)
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_the_script_is_the_program_with_its_description(tmp_path: Path) -> None:
    script.write(chain(Q("in", "h", Sparse([0, 1, 2, 2, 2], [0, 2], [2.0, 4.0], (3, 4)))), tmp_path / "net.py")
    text = (tmp_path / "net.py").read_text()
    compile(text, "net.py", "exec")
    assert "DESCRIPTION = 'net.json'" in text and "python net.py" in text and (tmp_path / "net.json").exists()
