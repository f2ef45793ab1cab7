"""The same net written otherwise: pools as AvgPool2d, convolutions of height 1 as Conv1d."""

import re

import h5py
import numpy as np
import pytest

from snnsim import engine, interop
from snnsim.hardware import nir
from snnsim.maps import Conv2d, Dense, SumPool2d
from snnsim.network import Network, Population, Projection
from snnsim.neurons import LI, LIF
from tests.test_interop import NORSE, SNNTORCH, SPIKINGJELLY, F, counts, encoding, neurons, sixteenths
from tests.test_nir import assert_same, layers

FORMS = {"average": {"pools": "average"}, "1d": {"convs": "1d"}}


def net(form):
    """In multiples of 1/16. average: pools before and behind convolutions; 1d: strides that do nothing, and padding."""
    hard = LIF(reset="hard")
    if form == "average":
        maps = (SumPool2d((2, 1)), Conv2d(sixteenths(4, 2, 3, 3))), (Conv2d(sixteenths(3, 4, 2, 2)), SumPool2d(2, 1))
        shapes = (2, 12, 8), (4, 4, 6), (3, 2, 4)
    else:
        last = Conv2d(sixteenths(5, 4, 1, 2), (1, 2)), Conv2d(sixteenths(3, 5, 1, 1))
        maps = (Conv2d(sixteenths(4, 2, 1, 3), 2, (0, 1)),), last
        shapes = (2, 1, 24), (4, 1, 12), (3, 1, 6)
    size = int(np.prod(shapes[2]))
    network = Network(
        (Population("in", shapes[0]), neurons("a", shapes[1], hard, decay=0.5, theta=1.03),
         neurons("b", shapes[2], hard, decay=0.75, theta=0.53), neurons("out", (4,), hard, decay=0.875, theta=0.77)),
        (Projection("in", "a", maps[0], sixteenths(4, 1, 1) / 4), Projection("a", "b", maps[1]),
         Projection("b", "out", (Dense(sixteenths(4, size)),), sixteenths(4) / 4)), readout="count")
    return network


@pytest.mark.parametrize("way", ["unit_r", "tau_over_dt"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_survives_and_is_the_same_net_when_read_plainly(tmp_path, form, way):
    network = net(form)
    nir.export(network, tmp_path / "a.nir", encoding=way, **FORMS[form])
    again = nir.read(tmp_path / "a.nir")
    assert_same(network, again)
    nir.export(again, tmp_path / "b.nir", encoding=way, **FORMS[form])
    assert (tmp_path / "a.nir").read_bytes() == (tmp_path / "b.nir").read_bytes()
    assert {nir.describe(tmp_path / "a.nir").form.pools, nir.describe(tmp_path / "a.nir").form.convs} & {"average", "1d"}
    with h5py.File(tmp_path / "a.nir") as f:
        kinds = [n["type"][()].decode() for n in f["node/nodes"].values()]
    assert kinds.count({"average": "AvgPool2d", "1d": "Conv1d"}[form]) == {"average": 2, "1d": 3}[form]
    assert not {"SumPool2d"} & set(kinds) and ("Conv2d" in kinds) == (form == "average")
    plain = nir.read(tmp_path / "a.nir", plain=True, dt=0.1)
    given = counts(network, 40, 2, 0.3)
    ours, theirs = (engine.run(n, given).spikes for n in (network, plain))
    for name, other in zip(("a", "b", "out"), list(theirs)[-3:], strict=True):
        assert np.array_equal(ours[name].dense().ravel(), theirs[other].dense().ravel()) and ours[name].dense().any()


def test_areas_that_are_no_power_of_two_and_biases_are_restored(tmp_path):
    rng = np.random.default_rng(0)

    def weight(*shape):
        return rng.normal(size=shape).astype(F)

    network = Network(
        (Population("in", (2, 9, 9)), Population.of("a", (3, 3, 3), LIF(tau=7.3, reset="hard"), 1.0, F),
         Population.of("out", (2,), LI(), 1.0, F)),
        (Projection("in", "a", (SumPool2d(3), Conv2d(weight(3, 2, 1, 1))), weight(3, 1, 1)),
         Projection("a", "out", (SumPool2d(3), Dense(weight(2, 3))), weight(2))))
    nir.export(network, tmp_path / "a.nir", pools="average")
    assert_same(network, nir.read(tmp_path / "a.nir"))
    nir.export(nir.read(tmp_path / "a.nir"), tmp_path / "b.nir", pools="average")
    assert (tmp_path / "a.nir").read_bytes() == (tmp_path / "b.nir").read_bytes()


@pytest.mark.parametrize(("network", "form", "sentence"), [
    (lambda: layers((2, 4, 4), (SumPool2d(2),)), "average", "only pools, and has no weights .*: export with pools='sum' and"),
    (lambda: layers((2, 1, 8), (SumPool2d((1, 2)), Conv2d(np.ones((1, 2, 1, 2))))), "1d",
     "projection in->hidden: NIR has no pooling of one dimension for SumPool2d.*: export with convs='2d'"),
    (lambda: layers((2, 1, 8), (Conv2d(np.ones((1, 2, 3, 2)), 1, (1, 0)),)), "1d",
     "projection in->hidden: Conv2d.* is no convolution of one dimension, which has a kernel of height 1"),
    (lambda: layers((2, 4, 8), (Conv2d(np.ones((1, 2, 4, 2))),)), "1d",
     "projection in->hidden goes from two dimensions to one, and NIR cannot reshape: export with convs='2d'")])
def test_what_a_form_cannot_hold_is_refused(tmp_path, network, form, sentence):
    with pytest.raises(ValueError, match=sentence):
        nir.export(network(), tmp_path / "a.nir", **FORMS[form])
    nir.export(network(), tmp_path / "a.nir", encoding="tau_over_dt")


def test_wrong_forms_are_named(tmp_path):
    for given, sentence in (({"pools": "max"}, "pools must be one of 'sum', 'average', got 'max'"),
                            ({"convs": "3d"}, "convs must be one of '2d', '1d', got '3d'"),
                            ({"pools": "average", "encoding": "sinabs"}, "pools must be 'sum' for encoding='sinabs'"),
                            ({"convs": "1d", "encoding": "sinabs"}, "convs must be '2d' for encoding='sinabs'")):
        with pytest.raises(ValueError, match=sentence):
            nir.export(net("1d"), tmp_path / "a.nir", **given)


@pytest.mark.slow
@pytest.mark.parametrize("tool", [SNNTORCH, SPIKINGJELLY, NORSE])
def test_both_forms_spike_the_same_in_snntorch_and_spikingjelly_and_norse_refuses_them(tmp_path, tool):
    jobs = [(net(form), form, encoding(tool, i)) for form in FORMS for i in range(2)]
    for i, (network, form, way) in enumerate(jobs):
        nir.export(network, tmp_path / f"{i}.nir", encoding=way, **FORMS[form])
    given = [counts(network, 40, 2, 0.3) for network, *_ in jobs]
    found = interop.run_nirs([(tmp_path / f"{i}.nir", x) for i, x in enumerate(given)], tool)
    for (network, form, _), x, result in zip(jobs, given, found, strict=True):
        if tool == "norse":
            assert re.search({"average": "KeyError: '.*avgpool2d'", "1d": "KeyError: '.*conv1d'"}[form], str(result))
            continue
        expected = engine.run(network, x).spikes
        for name in ("a", "b", "out"):
            ours = expected[name].dense()
            assert ours.any() and np.array_equal(ours, result[name].reshape(ours.shape)), (form, name)
