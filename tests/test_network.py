"""A network is checked when built, and survives its file."""

import json

import h5py
import numpy as np
import pytest

from snnsim import load_network, save_network
from snnsim.maps import Conv2d, Dense, Sparse, SumPool2d
from snnsim.network import Network, Population, Projection, TimeBase
from snnsim.neurons import LI, LIF, AdaptiveLIF
from tests import oracle

RNG = np.random.default_rng(0)
SPARSE = Sparse([0, 2, 2, 3], [1, 1, 0], [0.5, -1.0, 2.0], (2, 3))


def network():
    return Network(
        (Population("in", (2, 8, 8)), Population.of("a", (3, 4, 4), LIF(), 1.0), Population.of("b", (2,), AdaptiveLIF(), 1.0),
         Population.of("out", (5,), LI(), 1.0)),
        (Projection("in", "a", (SumPool2d(2), Conv2d(RNG.normal(size=(3, 2, 3, 3)), 1, 1)), bias=np.full((3, 1, 1), 0.1)),
         Projection("a", "b", (Dense(RNG.normal(size=(3, 48))), SPARSE), delay=1),
         Projection("a", "out", (Dense(RNG.normal(size=(5, 48))),), delay=2),
         Projection("b", "out", (Dense(RNG.normal(size=(5, 2))),))),
        TimeBase(2.0, 20, True, "first"), notes=("a note",), classes=tuple("vwxyz"))


def naive_conv(s, weight, stride, padding):
    """The sum of the docstring, by loops."""
    outputs, inputs, kh, kw = weight.shape
    _, h, w = Conv2d(weight, stride, padding).output_shape(s.shape)
    y = np.zeros((outputs, h, w))
    for o, i, j, c, k, m in np.ndindex(outputs, h, w, inputs, kh, kw):
        row, column = i * stride[0] + k - padding[0], j * stride[1] + m - padding[1]
        if 0 <= row < s.shape[1] and 0 <= column < s.shape[2]:
            y[o, i, j] += weight[o, c, k, m] * s[c, row, column]
    return y


@pytest.mark.parametrize(("stride", "padding"), [((1, 1), (0, 0)), ((2, 1), (1, 0)), ((3, 2), (2, 1))])
def test_conv2d_equals_its_sum(stride, padding):
    weight, s = RNG.normal(size=(3, 2, 3, 2)), RNG.normal(size=(2, 7, 6))
    np.testing.assert_allclose(Conv2d(weight, stride, padding).apply(s), naive_conv(s, weight, stride, padding), atol=1e-12)


def test_sum_pool_and_sparse_equal_their_sums():
    s = np.arange(2 * 5 * 4.0).reshape(2, 5, 4)
    pooled = SumPool2d((3, 2), (2, 1)).apply(s)
    assert pooled.shape == (2, 2, 3)
    assert pooled[1, 1, 2] == s[1, 2:5, 2:4].sum()
    np.testing.assert_array_equal(SPARSE.apply(np.array([1.0, 5.0, 3.0])), [6.0, -0.5])


def test_a_network_survives_its_file(tmp_path):
    net = network()
    save_network(net, tmp_path / "net.h5")
    again = load_network(tmp_path / "net.h5")
    assert repr(again) == repr(net)
    assert (again.time, again.notes, again.classes, again.order) == (net.time, net.notes, net.classes, net.order)
    events = (RNG.random((20, 2, 8, 8)) < 0.1).astype(float)
    one, two = oracle.run(net, events), oracle.run(again, events)
    for name in one.output:
        np.testing.assert_array_equal(one.output[name], two.output[name])
    save_network(again, tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "net.h5").read_bytes()


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "net.h5"
    save_network(network(), path)
    before = path.read_bytes()
    monkeypatch.setattr(Dense, "arrays", lambda self: {"weight": object()})
    with pytest.raises(TypeError):
        save_network(network(), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["net.h5"]


def test_broken_files_are_refused(tmp_path):
    path = tmp_path / "net.h5"
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_network(path)
    path.write_bytes(b"not HDF5")
    with pytest.raises(ValueError, match=r"net.h5 is not an snnsim network file"):
        load_network(path)
    save_network(network(), path)
    whole = path.read_bytes()
    for cut in range(1, len(whole), len(whole) // 60):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match="net.h5"):
            load_network(path)
    with h5py.File(path, "w") as f:
        f.attrs["format"] = "other"
    with pytest.raises(ValueError, match="its format is 'other'"):
        load_network(path)


@pytest.mark.parametrize(("edit", "sentence"), [
    (lambda f: f.attrs.__setitem__("schema", 99), "has schema 99"),
    (lambda f: f.__delitem__("projections/0/maps/1/weight"), "weight is missing"),
    (lambda f: f.__delitem__("populations/1/decay"), "decay is missing"),
    (lambda f: f["populations/1/decay"].write_direct(np.array(np.nan)), "must be finite"),
    (lambda f: replace(f, "projections/0/maps/1/weight", shape=(2**20, 2, 2**7, 2**7)), "claims"),
    (lambda f: replace_text(f, lambda d: d["projections"][0].update(target="nobody")), "no population 'nobody'"),
    (lambda f: replace_text(f, lambda d: d["time"].update(dt=-1)), "dt must be above 0"),
    (lambda f: replace_text(f, lambda d: d.pop("populations")), "does not fit"),
    (lambda f: replace_text(f, lambda d: d["projections"][0]["maps"][0].update(kind="Evil")), "does not fit")])
def test_a_damaged_network_file_is_refused(tmp_path, edit, sentence):
    path = tmp_path / "net.h5"
    save_network(network(), path)
    with h5py.File(path, "r+") as f:
        edit(f)
    with pytest.raises(ValueError, match=sentence):
        load_network(path)


def replace(f, name, shape):
    del f[name]
    f.create_dataset(name, shape=shape, dtype="f4", chunks=(1, 2, 2**7, 2**7), compression="gzip")


def replace_text(f, change):
    d = json.loads(f["network"][()])
    change(d)
    del f["network"]
    f.create_dataset("network", data=json.dumps(d))


IN, OUT = Population("in", (4,)), Population.of("out", (3,), LIF(), 1.0)
FULL = Dense(np.ones((3, 4)))


@pytest.mark.parametrize(("build", "sentence"), [
    (lambda: Population("p", (0,)), "shape of population 'p' must be"),
    (lambda: Population("p", (2, 3)), "shape of population 'p' must be"),
    (lambda: Population("p", (3,), LIF().rule, {"decay": 0.5}), "needs the parameters"),
    (lambda: Population("p", (3,), LIF().rule, {"decay": [0.5] * 2, "theta": 1}), "does not broadcast"),
    (lambda: Population("p", (3,), LIF().rule, {"decay": np.inf, "theta": 1}), "must be finite"),
    (lambda: Population("p", (3,), LIF().rule, {"decay": 1.5, "theta": 1}), "'decay' of population 'p' must lie from 0 to 1"),
    (lambda: Projection("in", "out", ()), "has no map"),
    (lambda: Projection("in", "out", (FULL,), delay=-1), "delay of projection in->out must be"),
    (lambda: Projection("in", "out", (FULL,), delay=0.5), "delay of projection in->out must be"),
    (lambda: Projection("in", "out", (FULL,), bias=np.nan), "bias of projection in->out must be finite"),
    (lambda: Dense(np.ones(3)), "weight of Dense must have 2 dimensions"),
    (lambda: Dense([[np.nan]]), "weight of Dense must be finite"),
    (lambda: Conv2d(np.ones((1, 1, 1, 1)), stride=0), "stride of Conv2d must be"),
    (lambda: SumPool2d((2, 2, 2)), "kernel of SumPool2d must be"),
    (lambda: Sparse([0, 1], [3], [1.0], (3, 1)), "targets of Sparse must lie in 0 .. 2"),
    (lambda: Sparse([0, 2], [1], [1.0], (3, 1)), "indptr of Sparse must rise"),
    (lambda: TimeBase(dt=0), "dt must be above 0"),
    (lambda: TimeBase(steps=0), "steps must be a positive"),
    (lambda: TimeBase(t0="begin"), "t0 must be one of"),
    (lambda: Network((), ()), "at least one population"),
    (lambda: Network((IN, IN), ()), "must be unique"),
    (lambda: Network((OUT,), ()), "first population is the input"),
    (lambda: Network((IN, Population("p", (1,))), ()), "has no rule"),
    (lambda: Network((IN, OUT), (), output="in"), "output 'in' is not"),
    (lambda: Network((IN, OUT), (Projection("in", "x", (FULL,)),)), "there is no population 'x'"),
    (lambda: Network((IN, OUT), (Projection("out", "in", (FULL,)),)), "ends at the input"),
    (lambda: Network((IN, OUT), (Projection("in", "out", (FULL,), receptor="ge"),)), "receptor 'ge' is not"),
    (lambda: Network((IN, OUT), (Projection("in", "out", (Dense(np.ones((3, 5))),)),)), "map 0: Dense takes 5 inputs"),
    (lambda: Network((IN, OUT), (Projection("in", "out", (Dense(np.ones((2, 4))),)),)), r"gives shape \(2,\)"),
    (lambda: Network((IN, OUT), (Projection("in", "out", (FULL,), bias=np.ones(2)),)), "does not broadcast"),
    (lambda: Network((IN, OUT), (Projection("out", "out", (Dense(np.eye(3)),)),)), "loop without delay"),
    (lambda: Network((IN, Population.of("o", (3,), LI(), 1.0)), (), readout="count"), "needs an output that fires"),
    (lambda: Network((IN, OUT), (), classes=("a",)), "1 class names for 3 outputs")])
def test_what_does_not_fit_is_refused(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()


def test_a_network_is_frozen():
    net = network()
    with pytest.raises(ValueError, match="read-only"):
        net.projections[2].maps[0].weight[0] = 1.0
    with pytest.raises(AttributeError):
        net.output = "a"
