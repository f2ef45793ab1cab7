"""Our exports in the tools that read NIR: the same spikes there."""

import importlib.util
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest

from snnsim import engine, interop
from snnsim.hardware import nir
from snnsim.maps import Conv2d, Dense, SumPool2d
from snnsim.network import Network, Population, Projection
from snnsim.neurons import IF, LI, LIF, CubaLIF
from tests import nir_nets

RNG = np.random.default_rng(3)
F = np.float32


def needs(tool):
    missing = [m for m in ("torch", "nir", "nirtorch", tool) if importlib.util.find_spec(m) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {missing}; {interop.INSTALL[tool]}")


SNNTORCH, SPIKINGJELLY, NORSE, SINABS = (pytest.param(tool, marks=needs(tool)) for tool in interop.TOOLS)


def sixteenths(*shape):
    return (np.random.default_rng(shape).integers(-8, 12, shape) / 16).astype(F)


def neurons(name, shape, neuron, **parameters):
    return Population(name, shape, neuron.rule, {k: F(v) for k, v in parameters.items()})


def convolutional():
    """Strided convolution, sum pooling, dense; in multiples of 1/16, so that membranes often meet the threshold."""
    hard = LIF(reset="hard")
    return Network(
        (Population("in", (2, 12, 12)), neurons("strided", (4, 5, 5), hard, decay=0.5, theta=1.0),
         neurons("pooled", (4, 2, 2), hard, decay=0.75, theta=1.0), neurons("dense", (10,), hard, decay=0.875, theta=1.5)),
        (Projection("in", "strided", (Conv2d(sixteenths(4, 2, 3, 3), 2),), sixteenths(4, 1, 1) / 4),
         Projection("strided", "pooled", (SumPool2d(2), Conv2d(sixteenths(4, 4, 3, 3), 1, 1))),
         Projection("pooled", "dense", (Dense(sixteenths(10, 16)),), sixteenths(10) / 4)), readout="count")


def counts(network, steps, batch, share):
    return (RNG.random((steps, batch, *network.input.shape)) < share).astype(F)


def others(tool):
    """Current-based neurons, a silent readout, and neurons without leak, of which snnTorch takes none."""
    first = LIF(reset="hard") if tool == "snntorch" else IF(reset="hard")
    values = {"theta": 2.0, "decay": 0.875} if tool == "snntorch" else {"theta": 2.0}
    return Network((Population("in", (30,)), neurons("first", (40,), first, **values),
                    neurons("cuba", (40,), CubaLIF(reset="hard"), keep=0.5, decay=0.75, theta=2),
                    neurons("out", (4,), LI(), decay=0.5)),
                   (Projection("in", "first", (Dense(sixteenths(40, 30)),)),
                    Projection("first", "cuba", (Dense(sixteenths(40, 40)),)),
                    Projection("cuba", "out", (Dense(sixteenths(4, 40)),))))


def tie():
    return Network((Population("in", (1,)), neurons("tie", (1,), LIF(reset="hard"), decay=0.5, theta=1.5)),
                   (Projection("in", "tie", (Dense(np.ones((1, 1), F)),)),), output="tie", readout="count")


def delayed():
    return replace(tie(), projections=(replace(tie().projections[0], delay=1),))


AT_THRESHOLD = np.array([1, 1, 0, 1, 0, 1], F).reshape(-1, 1, 1)  # the membrane is 1, then 1.5 = theta


@dataclass
class Ran:
    """What a tool made of many files, all in one process: by name the network, the counts and its spikes, or its refusal."""

    tool: str
    nets: dict
    found: dict

    def compared(self, name):
        """Spikes that differ from ours, and how many we have."""
        network, given = self.nets[name]
        expected = {n: s.dense() for n, s in engine.run(network, given).spikes.items()}
        fires = {p.name for p in network.populations if p.rule and p.rule.fires}
        assert set(self.found[name]) >= fires
        pairs = [(expected[n], self.found[name][n].reshape(expected[n].shape)) for n in fires]
        return sum(int(np.not_equal(a, b).sum()) for a, b in pairs), sum(int(a.sum()) for a, _ in pairs)


FEW = 10
READS = {"snntorch": tuple(f for f in nir_nets.FAMILIES if f != "if"), "spikingjelly": nir_nets.FAMILIES,
         "norse": nir_nets.FAMILIES, "sinabs": tuple(f for f in nir_nets.FAMILIES if f != "cuba")}
RESET = {"snntorch": "hard", "spikingjelly": "hard", "norse": "hard", "sinabs": "soft"}


def encoding(tool, i):
    """Both in turn; Norse ignores r, and so reads only one; Sinabs has one of its own."""
    if tool == "sinabs":
        return tool
    return "unit_r" if tool == "norse" or i % 2 == 0 else "tau_over_dt"


@pytest.fixture(scope="module", params=[SNNTORCH, SPIKINGJELLY, NORSE])
def ran(request, tmp_path_factory):
    tool, folder = request.param, tmp_path_factory.mktemp(request.param)
    network = convolutional()
    jobs = {"convolutional": (network, counts(network, 60, 2, 0.1), {}),
            "others": (others(tool), counts(others(tool), 50, 2, 0.2), {}), "delayed": (delayed(), AT_THRESHOLD, {}),
            **{f"tie {firing}": (tie(), AT_THRESHOLD, {"firing": firing}) for firing in (">", ">=")}}
    if tool == "snntorch":
        jobs["without leak"] = (*nir_nets.random_net(0, "if"), {})
    if tool != "norse":
        jobs["tau_over_dt"] = (network, counts(network, 60, 2, 0.1), {"encoding": "tau_over_dt"})
    for i, (random, given) in enumerate(nir_nets.random_nets(FEW, READS[tool])):
        jobs[f"random {i}"] = (random, given, {"encoding": encoding(tool, i)})
    for i, (net, _, options) in enumerate(jobs.values()):
        nir.export(net, folder / f"{i}.nir", **options)
    found = interop.run_nirs([(folder / f"{i}.nir", given) for i, (_, given, _) in enumerate(jobs.values())], tool)
    return Ran(tool, {n: job[:2] for n, job in jobs.items()}, dict(zip(jobs, found, strict=True)))


def test_a_hard_reset_net_spikes_the_same_elsewhere(ran):
    for name in ("convolutional", "tau_over_dt") if ran.tool != "norse" else ("convolutional",):
        wrong, fired = ran.compared(name)
        assert wrong == 0 and fired > 2500


def test_the_other_neurons(ran):
    wrong, fired = ran.compared("others")
    assert wrong == 0 and fired > 1000


def test_card6_a_few_random_nets_spike_the_same_elsewhere(ran):
    compared = [ran.compared(f"random {i}") for i in range(FEW)]
    assert [wrong for wrong, _ in compared] == [0] * FEW
    assert sum(fired for _, fired in compared) > 50 * FEW


def test_snntorch_refuses_neurons_without_leak(ran):
    if ran.tool == "snntorch":
        assert "AssertionError: r != 1 not supported" in str(ran.found["without leak"])


# At v = theta we fire; snnTorch and Norse do not, SpikingJelly does. A threshold written one float32 lower makes all
# of them fire there, which is why firing=">" is the default.
def test_what_each_tool_does_at_the_threshold(ran):
    assert ran.found["tie >="]["tie"][1, 0, 0] == (ran.tool == "spikingjelly")
    assert ran.found["tie >"]["tie"].ravel().tolist() == [0, 1, 0, 0, 0, 0]


def test_what_each_tool_does_with_a_delay(ran):
    """snnTorch and SpikingJelly refuse the node, in their own words; Norse leaves it out without a word."""
    found = ran.found["delayed"]
    if ran.tool == "norse":
        assert found["tie"].ravel().tolist() == [0, 1, 0, 0, 0, 0]
    else:
        assert re.match(rf"{ran.tool} cannot run .*nir: ValueError: Unknown node type .*Delay", str(found))


@needs("snntorch")
def test_a_soft_reset_net_differs_elsewhere_and_the_report_says_why(tmp_path):
    network = Network((Population("in", (30,)), neurons("out", (20,), LIF(), decay=0.75, theta=1)),
                      (Projection("in", "out", (Dense(sixteenths(20, 30)),)),), output="out", readout="count")
    nir.export(network, tmp_path / "net.nir", allow_lossy=True)
    match = interop.verify_nir(tmp_path / "net.nir", network, counts(network, 30, 2, 0.2), "snntorch")
    assert not match.exact and len(match.divergences) == 2 and not any(d.tie for d in match.divergences)
    assert match.lossy[0].startswith("population 'out' has rule lif_soft: NIR has no soft (subtracting) reset")
    assert "run in snntorch" in str(match)


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file"):
        interop.run_nir(tmp_path / "net.nir", np.ones((3, 1)), "snntorch")
    with pytest.raises(ValueError, match=r"tool must be one of 'snntorch', 'spikingjelly', 'norse', 'sinabs', got 'brian'"):
        interop.run_nir(tmp_path / "net.nir", np.ones((3, 1)), "brian")
    with pytest.raises(ValueError, match=r"counts must be finite numbers \[T, \*input\]"):
        interop.run_nir(tmp_path / "net.nir", np.array([[np.nan]]), "snntorch")


def test_a_missing_tool_is_said_with_the_way_to_install_it(tmp_path):
    """A Python that finds no packages of its own (-S -E, by a wrapper) cannot import the tool."""
    nir.export(convolutional(), tmp_path / "net.nir")
    wrapper = tmp_path / "python"
    wrapper.write_text(f"#!/bin/sh\necho 'No module named spikingjelly' >&2; exit {interop.MISSING}\n")
    wrapper.chmod(0o755)
    with pytest.raises(ImportError, match=r'spikingjelly cannot be imported by .*python \(No module named spikingjelly\): pip '
                                          r'install "snnsim\[interop\]"'):
        interop.run_nir(tmp_path / "net.nir", np.ones((3, 2, 12, 12)), "spikingjelly", python=wrapper)
    wrapper.write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(TimeoutError, match=r"spikingjelly did not finish .*net.nir within 0.2 s"):
        interop.run_nir(tmp_path / "net.nir", np.ones((3, 2, 12, 12)), "spikingjelly", python=wrapper, timeout=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["unit_r", "tau_over_dt"])
@pytest.mark.parametrize("tool", [SNNTORCH, SPIKINGJELLY])
def test_generic_float32_nets_differ_at_ties_only(tmp_path, tool, encoding):
    def weight(*shape):
        return (RNG.normal(size=shape) * 0.4).astype(F)

    network = Network((Population("in", (30,)), Population.of("a", (60,), LIF(tau=7.0, reset="hard"), 1.0, F),
                       Population.of("b", (40,), LIF(tau=20.0, reset="hard", theta=0.7), 1.0, F)),
                      (Projection("in", "a", (Dense(weight(60, 30)),), weight(60) / 8),
                       Projection("a", "b", (Dense(weight(40, 60)),))), readout="count")
    nir.export(network, tmp_path / "net.nir", encoding=encoding)
    match = interop.verify_nir(tmp_path / "net.nir", network, counts(network, 200, 40, 0.2), tool)
    assert match.share > 0.9999 and all(d.tie for d in match.divergences)


@pytest.mark.slow
@pytest.mark.parametrize("tool", [SPIKINGJELLY, NORSE])
def test_the_report_of_an_exact_match(tmp_path, tool):
    for network, told in ((convolutional(), "2 of 2 predictions equal"), (others(tool), "predictions not compared")):
        nir.export(network, tmp_path / "net.nir")
        match = interop.verify_nir(tmp_path / "net.nir", network, counts(network, 30, 2, 0.2), tool)
        assert match.exact and match.ran_in == tool and told in str(match)
