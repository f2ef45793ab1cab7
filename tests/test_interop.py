"""Our exports in the tools that read NIR: the same spikes there."""

import importlib.util

import numpy as np
import pytest

from snnsim import interop
from snnsim.hardware import nir
from snnsim.maps import Conv2d, Dense, SumPool2d
from snnsim.network import Network, Population, Projection
from snnsim.neurons import IF, LI, LIF, CubaLIF

RNG = np.random.default_rng(3)
F = np.float32


def needs(tool):
    missing = [m for m in ("torch", "nir", "nirtorch", tool) if importlib.util.find_spec(m) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {missing}; {interop.INSTALL[tool]}")


SNNTORCH, SPIKINGJELLY, NORSE = (pytest.param(tool, marks=needs(tool)) for tool in interop.TOOLS)


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


def assert_exact(path, network, given, tool, spikes):
    match = interop.verify_nir(path, network, given, tool)
    assert match.exact, str(match)
    assert sum(x.expected for x in match.layers) > spikes
    assert match.ran_in == tool
    assert match.predictions_equal == (match.samples if network.readout == "count" else None)
    assert ("predictions not compared" in str(match)) == (network.readout == "membrane")


@pytest.mark.parametrize("encoding", ["unit_r", pytest.param("tau_over_dt", marks=pytest.mark.slow)])
@pytest.mark.parametrize("tool", [SNNTORCH, SPIKINGJELLY])
def test_a_hard_reset_net_spikes_the_same_elsewhere(tmp_path, tool, encoding):
    network = convolutional()
    nir.export(network, tmp_path / "net.nir", encoding=encoding)
    assert_exact(tmp_path / "net.nir", network, counts(network, 60, 4, 0.1), tool, 5000)


@needs("norse")
def test_norse_reads_encoding_unit_r(tmp_path):
    network = convolutional()
    nir.export(network, tmp_path / "net.nir")
    assert_exact(tmp_path / "net.nir", network, counts(network, 60, 2, 0.1), "norse", 2500)


@pytest.mark.parametrize("tool", [SNNTORCH, SPIKINGJELLY])
def test_the_other_neurons(tmp_path, tool):
    """Current-based neurons, a silent readout, and neurons without leak, of which snnTorch takes none."""
    first = IF(reset="hard") if tool == "spikingjelly" else LIF(reset="hard")
    values = {"theta": 2.0} if tool == "spikingjelly" else {"theta": 2.0, "decay": 0.875}
    network = Network((Population("in", (30,)), neurons("first", (40,), first, **values),
                       neurons("cuba", (40,), CubaLIF(reset="hard"), keep=0.5, decay=0.75, theta=2),
                       neurons("out", (4,), LI(), decay=0.5)),
                      (Projection("in", "first", (Dense(sixteenths(40, 30)),)),
                       Projection("first", "cuba", (Dense(sixteenths(40, 40)),)),
                       Projection("cuba", "out", (Dense(sixteenths(4, 40)),))))
    nir.export(network, tmp_path / "net.nir")
    assert_exact(tmp_path / "net.nir", network, counts(network, 50, 2, 0.2), tool, 1000)


def tie():
    return Network((Population("in", (1,)), neurons("tie", (1,), LIF(reset="hard"), decay=0.5, theta=1.5)),
                   (Projection("in", "tie", (Dense(np.ones((1, 1), F)),)),), output="tie", readout="count")


AT_THRESHOLD = np.array([1, 1, 0, 1, 0, 1], F).reshape(-1, 1, 1)  # the membrane is 1, then 1.5 = theta


# At v = theta we fire; snnTorch and Norse do not, SpikingJelly does. A threshold written one float32 lower makes all
# of them fire there, which is why firing=">" is the default.
@pytest.mark.parametrize(("tool", "fires"), [(*SNNTORCH.values, 0), (*SPIKINGJELLY.values, 1), (*NORSE.values, 0)])
def test_what_each_tool_does_at_the_threshold(tmp_path, tool, fires):
    if importlib.util.find_spec(tool) is None:
        pytest.skip(f"not installed: {interop.INSTALL[tool]}")
    nir.export(tie(), tmp_path / "net.nir", firing=">=")
    assert interop.run_nir(tmp_path / "net.nir", AT_THRESHOLD, tool)["tie"][1, 0, 0] == fires


@pytest.mark.slow
@pytest.mark.parametrize("tool", [SNNTORCH, SPIKINGJELLY, NORSE])
def test_all_tools_fire_at_a_threshold_that_is_written_for_strict_readers(tmp_path, tool):
    nir.export(tie(), tmp_path / "net.nir", firing=">")
    assert interop.run_nir(tmp_path / "net.nir", AT_THRESHOLD, tool)["tie"].ravel().tolist() == [0, 1, 0, 0, 0, 0]


@needs("snntorch")
def test_a_soft_reset_net_differs_elsewhere_and_the_report_says_why(tmp_path):
    network = Network((Population("in", (30,)), neurons("out", (20,), LIF(), decay=0.75, theta=1)),
                      (Projection("in", "out", (Dense(sixteenths(20, 30)),)),), output="out", readout="count")
    nir.export(network, tmp_path / "net.nir", allow_lossy=True)
    match = interop.verify_nir(tmp_path / "net.nir", network, counts(network, 30, 2, 0.2), "snntorch")
    assert not match.exact and len(match.divergences) == 2 and not any(d.tie for d in match.divergences)
    assert match.lossy[0].startswith("population 'out' has rule lif_soft: NIR has no soft (subtracting) reset")
    assert "run in snntorch" in str(match)


@needs("spikingjelly")
def test_what_the_tool_refuses_is_said_in_its_words(tmp_path):
    network = Network((Population("in", (1,)), neurons("out", (1,), LIF(reset="hard"), decay=0.5, theta=1)),
                      (Projection("in", "out", (Dense(np.ones((1, 1), F)),), delay=1),), output="out", readout="count")
    nir.export(network, tmp_path / "net.nir")
    with pytest.raises(RuntimeError, match=r"spikingjelly cannot run .*net.nir: ValueError: Unknown node type .*Delay"):
        interop.run_nir(tmp_path / "net.nir", np.ones((3, 1, 1)), "spikingjelly")


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file"):
        interop.run_nir(tmp_path / "net.nir", np.ones((3, 1)), "snntorch")
    with pytest.raises(ValueError, match=r"tool must be one of 'snntorch', 'spikingjelly', 'norse', got 'brian'"):
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
