"""NIR files among others: nir.read takes ours, and we read those of other tools as they mean them."""

import re

import numpy as np
import pytest

from snnsim import engine
from snnsim.hardware import nir
from snnsim.maps import Conv2d, Dense, Sparse, SumPool2d
from snnsim.network import Network, Population, Projection
from snnsim.neurons import LIF
from tests import oracle
from tests.test_nir import assert_same, conv, dense, layers

peer = pytest.importorskip("nir", reason="the nir package is not installed: pip install 'snnsim[interop]'")
RNG = np.random.default_rng(1)
DT = 1e-4


@pytest.mark.parametrize("encoding", ["unit_r", "tau_over_dt"])
@pytest.mark.parametrize("build", [dense, conv])
def test_the_nir_package_reads_our_file(tmp_path, build, encoding):
    network = build()
    report = nir.export(network, tmp_path / "net.nir", encoding=encoding, allow_lossy=True)
    graph = peer.read(tmp_path / "net.nir")
    assert len(graph.nodes) == report.nodes and len(graph.edges) == report.edges
    assert peer.serialization.read_version(tmp_path / "net.nir") == "1.0.8"
    kinds = {type(node).__name__ for node in graph.nodes.values()}
    assert kinds >= {"Input", "Output", "LIF", "LI", "Affine", "Linear"}
    for node in graph.nodes.values():
        if type(node).__name__ == "LIF":
            assert set(np.unique(node.v_reset)) | set(np.unique(node.v_leak)) == {0.0}
            assert np.all(node.r == 1.0) if encoding == "unit_r" else np.allclose(node.r, node.tau / DT)


def test_what_the_nir_package_writes_back_we_still_read(tmp_path):
    """Its writer keeps our metadata, as arrays and texts, so that the network comes back bit for bit."""
    network = conv()
    nir.export(network, tmp_path / "ours.nir", allow_lossy=True)
    peer.write(tmp_path / "theirs.nir", peer.read(tmp_path / "ours.nir"))
    assert_same(network, nir.read(tmp_path / "theirs.nir"))


def test_a_kernel_that_is_not_square_is_read_without_type_check(tmp_path):
    network = layers((1, 5, 5), [Conv2d(np.ones((2, 1, 3, 2)))])
    report = nir.export(network, tmp_path / "net.nir")
    assert any("type_check=False" in text for text in report.kept)
    with pytest.raises(ValueError, match="mismatch"):
        peer.read(tmp_path / "net.nir")
    assert peer.read(tmp_path / "net.nir", type_check=False).nodes["in_to_hidden_conv2d"].weight.shape == (2, 1, 3, 2)


def recurrent():
    """Neurons that hear themselves one step later, with a bias there, which acts from the first step on."""
    def weight(*shape):
        return (RNG.integers(-6, 9, shape) / 16).astype(np.float32)

    hidden = Population("hidden", (12,), LIF(reset="hard").rule, {"decay": np.float32(0.75), "theta": np.float32(1.0)})
    out = Population("out", (4,), LIF(reset="hard").rule, {"decay": np.float32(0.5), "theta": np.float32(1.0)})
    return Network((Population("in", (9,)), hidden, out),
                   (Projection("in", "hidden", (Dense(weight(12, 9)),), weight(12)),
                    Projection("hidden", "hidden", (Dense(weight(12, 12)),), weight(12), delay=1),
                    Projection("hidden", "out", (Dense(weight(4, 12)),))), readout="count")


@pytest.mark.parametrize("encoding", ["unit_r", "tau_over_dt"])
def test_a_recurrent_layer_is_a_loop_through_a_delay_of_one_step(tmp_path, encoding):
    network, path = recurrent(), tmp_path / "net.nir"
    report = nir.export(network, path, encoding=encoding)
    assert any(k.startswith("projection hidden->hidden has a delay: a Delay node, which snnTorch and") for k in report.kept)
    assert_same(network, nir.read(path))
    graph = peer.read(path)
    assert set(graph.edges) >= {("hidden", "hidden_to_hidden_delay"), ("hidden_to_hidden_delay", "hidden_to_hidden_affine"),
                                ("hidden_to_hidden_affine", "hidden")}
    assert np.array_equal(graph.nodes["hidden_to_hidden_delay"].delay, np.full(12, DT))
    plain = nir.read(path, plain=True, dt=0.1)
    counts = RNG.integers(0, 3, (20, 9)).astype(np.float32)
    expected, found = oracle.run(network, counts), oracle.run(plain, counts)
    for name in ("hidden", "out"):
        assert 0 < expected.spikes[name].sum() < expected.spikes[name].size
        np.testing.assert_array_equal(found.spikes[name], expected.spikes[name])
    without = Network(network.populations, (network.projections[0], network.projections[2]), readout="count")
    assert np.any(oracle.run(without, counts).spikes["hidden"] != expected.spikes["hidden"])


@pytest.mark.parametrize("encoding", ["unit_r", "tau_over_dt"])
def test_plain_reading_of_our_own_file_gives_the_same_spikes(tmp_path, encoding):
    """Thresholds, decays and weights all come back from what other tools see, ties included."""
    eighths = (RNG.integers(-4, 9, (2, 1, 3, 3)) / 8).astype(np.float32)
    network = layers((1, 8, 8), [SumPool2d(2, 1), Conv2d(eighths, 2)], decay=np.float32(0.75),
                     more=(Dense((RNG.integers(-4, 9, (3, 18)) / 8).astype(np.float32)),))
    nir.export(network, tmp_path / "net.nir", encoding=encoding)
    again = nir.read(tmp_path / "net.nir", plain=True, dt=0.1)
    assert [p.rule.name for p in again.populations[1:]] == ["lif_hard", "li"]
    assert again.notes == ("read from a plain NIR file at dt = 0.1 ms with Euler decay 1 - dt/tau",)
    counts = RNG.integers(0, 2, (40, 5, 1, 8, 8)).astype(np.float32)
    ours, theirs = engine.run(network, counts), engine.run(again, counts)
    assert len(ours.spikes["hidden"]) > 200
    np.testing.assert_array_equal(ours.spikes["hidden"].dense(), theirs.spikes["hidden"].dense())
    np.testing.assert_array_equal(ours.prediction, theirs.prediction)


def lif(shape, tau=2e-4, r=1.0, theta=1.0, **kwargs):
    full = {"tau": tau, "r": r, "v_leak": 0.0, "v_threshold": theta, "v_reset": 0.0, **kwargs}
    return peer.LIF(**{k: np.full(shape, v) for k, v in full.items()})


def write(path, *nodes, edges=None, **named):
    """A chain of nodes, or named nodes with edges."""
    graph = peer.NIRGraph(named, edges, type_check=False) if edges else peer.NIRGraph.from_list(*nodes, type_check=False)
    peer.write(path, graph)
    return path


def step_by_euler(node, x, firing):
    """NIR's LIF equation at dt = 1e-4 s, written out."""
    v, spikes = np.zeros(x.shape[1:]), []
    for now in x:
        v = v + DT / node.tau * (-v + node.r * now)
        s = v > node.v_threshold if firing == ">" else v >= node.v_threshold
        v = np.where(s, 0.0, v)
        spikes.append(s)
    return np.array(spikes)


@pytest.mark.parametrize("firing", [">", ">="])
def test_a_foreign_lif_net_is_stepped_as_its_equation_says(tmp_path, firing):
    weight, bias = RNG.integers(-4, 9, (6, 4)) / 4, RNG.integers(-2, 3, 6) / 8
    node = lif((6,), r=2.0)  # with tau = 2 dt, the membrane takes r dt/tau = 1 times the input
    path = write(tmp_path / "net.nir", peer.Input({"input": np.array([4])}), peer.Affine(weight, bias), node,
                 peer.Output({"output": np.array([6])}))
    network = nir.read(path, dt=0.1, firing=firing)
    counts = RNG.integers(0, 2, (30, 4)).astype(float)
    expected = step_by_euler(node, counts @ weight.T + bias, firing)
    found = oracle.run(network, counts).spikes["lif"]
    assert 20 < expected.sum() < 180
    np.testing.assert_array_equal(found, expected)


def test_gains_are_folded_into_the_weights(tmp_path):
    weight = np.ones((2, 3), np.float32)
    path = write(tmp_path / "net.nir", peer.Input({"input": np.array([3])}), peer.Affine(weight, np.ones(2, np.float32)),
                 lif((2,), r=0.5), peer.Output({"output": np.array([2])}))
    [q] = nir.read(path, dt=0.1).projections
    np.testing.assert_array_equal(q.maps[0].weight, np.full((2, 3), 0.25, np.float32))
    np.testing.assert_array_equal(q.bias, np.full(2, 0.25, np.float32))


def test_foreign_pools_biases_and_delays_become_one_chain(tmp_path):
    """Average pooling is a sum whose share goes to the next weights; a bias goes through the maps after it."""
    path = write(
        tmp_path / "net.nir", peer.Input({"input": np.array([1, 6, 6])}), peer.Delay(np.full((1, 6, 6), 2e-4)),
        peer.Conv2d((6, 6), np.ones((2, 1, 3, 3)), 1, "same", 1, 1, np.array([0.5, 1.0])),
        peer.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])), peer.Flatten({"input": np.array([2, 3, 3])}, 0),
        peer.Affine(np.ones((1, 18)), np.array([0.25])), peer.IF(np.array([1e4]), np.array([4.0]), np.array([0.0])),
        peer.Output({"output": np.array([1])}))
    network = nir.read(path, dt=0.1)
    [q] = network.projections
    assert [type(m) for m in q.maps] == [Conv2d, SumPool2d, Dense]
    assert (q.maps[0].padding, q.maps[1].kernel, q.delay) == ((1, 1), (2, 2), 2)
    np.testing.assert_array_equal(q.maps[2].weight, np.full((1, 18), 0.25))
    np.testing.assert_allclose(q.bias, 9 * 0.5 + 9 * 1.0 + 0.25)
    assert [p.rule.name for p in network.populations[1:]] == ["if_hard"]
    assert network.readout == "count"


def test_average_pooling_at_the_end_goes_to_the_weights_before(tmp_path):
    path = write(tmp_path / "net.nir", peer.Input({"input": np.array([1, 4, 4])}),
                 peer.Conv2d((4, 4), np.ones((2, 1, 1, 1)), 1, 0, 1, 1, np.array([1.0, 2.0])),
                 peer.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])), lif((2, 2, 2), r=2.0),
                 peer.Output({"output": np.array([2, 2, 2])}))
    [q] = nir.read(path, dt=0.1).projections
    np.testing.assert_array_equal(q.maps[0].weight, np.full((2, 1, 1, 1), 0.25))
    np.testing.assert_array_equal(q.bias, np.array([1.0, 2.0]).reshape(2, 1, 1) * np.ones((2, 2, 2)))


def test_neurons_joined_directly_get_an_identity(tmp_path):
    path = write(tmp_path / "net.nir", peer.Input({"input": np.array([3])}), lif((3,)), peer.Output({"output": np.array([3])}))
    [q] = nir.read(path, dt=0.1).projections
    assert isinstance(q.maps[0], Sparse)
    np.testing.assert_array_equal(q.maps[0].apply(np.arange(3.0)), np.arange(3.0) * 0.5)


def test_loops_and_the_current_based_neuron(tmp_path):
    n = 3
    cuba = peer.CubaLIF(np.full(n, 4e-4), np.full(n, 2e-4), np.full(n, 2.0), np.zeros(n), np.ones(n), np.zeros(n),
                        np.full(n, 4.0))
    edges = [("in", "w"), ("w", "cuba"), ("cuba", "back"), ("back", "late"), ("late", "cuba"), ("cuba", "out")]
    path = write(tmp_path / "net.nir", edges=edges, **{
        "in": peer.Input({"input": np.array([2])}), "w": peer.Linear(np.ones((n, 2))), "cuba": cuba,
        "back": peer.Linear(np.eye(n)), "late": peer.Delay(np.full(n, 1e-4)), "out": peer.Output({"output": np.array([n])})})
    network = nir.read(path, dt=0.1)
    assert {(q.source, q.target, q.delay) for q in network.projections} == {("in", "cuba", 0), ("cuba", "cuba", 1)}
    assert {k: float(v) for k, v in network.population("cuba").parameters.items()} == {
        "keep": 0.75, "decay": 0.5, "theta": np.nextafter(1.0, 2.0)}
    # r dt/tau_mem = 2 * 1/2 and w_in dt/tau_syn = 4 * 1/4
    for q in network.projections:
        assert set(np.unique(q.maps[0].weight)) <= {0.0, 1.0}


def chain_of(*nodes, shape=(3,), out=(3,)):
    return [peer.Input({"input": np.array(shape)}), *nodes, peer.Output({"output": np.array(out)})]


EYE = np.eye(3)


@pytest.mark.parametrize(("nodes", "sentence"), [
    (chain_of(lif((3,), v_leak=0.5)), "node 'lif' (LIF): v_leak must be 0 everywhere, shift the membrane so that it rests at "
                                      "0; got 0.5 .. 0.5"),
    (chain_of(lif((3,), v_reset=-1.0)), "node 'lif' (LIF): v_reset must be 0 everywhere"),
    (chain_of(lif((3,), tau=5e-5)), "node 'lif' (LIF): tau must be at least dt = 0.0001 s, got 5e-05 s"),
    (chain_of(lif((2, 2))), "shape of population 'lif' must be (N,) or (channels, height, width)"),
    (chain_of(peer.Scale(np.ones(3)), lif((3,))), "node 'scale' has type 'Scale', which snnsim cannot read: allowed are Input"),
    (chain_of(peer.Linear(EYE)), "node 'output' (Output) must be fed by one neuron node (LIF, IF, CubaLIF, LI, I), is fed by "
                                 "['linear']"),
    (chain_of(peer.Linear(np.ones((3, 4))), lif((3,))), "node 'linear' (Linear): Dense takes 4 inputs, got shape (3,)"),
    (chain_of(peer.Linear(EYE), peer.Delay(np.array([1e-4, 1e-4, 2e-4])), lif((3,))),
     "node 'delay' (Delay): all neurons of a projection must have one delay"),
    (chain_of(peer.Delay(np.full(3, 1.5e-4)), lif((3,))),
     "node 'delay' (Delay): the delay of 0.00015 s is not a whole number of steps of 0.1 ms"),
    (chain_of(peer.Affine(EYE, np.ones(3)), peer.Delay(np.full(3, 1e-4)), lif((3,))),
     "node 'delay' (Delay): a delay must stand before the first bias of its chain"),
    (chain_of(peer.Conv2d((4, 4), np.ones((2, 1, 3, 3)), 1, 0, 2, 1, np.zeros(2)), lif((2, 1, 1)), shape=(1, 4, 4)),
     "node 'conv2d' (Conv2d): dilation and groups must be 1"),
    (chain_of(peer.Conv2d((4, 4), np.ones((2, 1, 2, 2)), 1, "same", 1, 1, np.zeros(2)), lif((2, 4, 4)), shape=(1, 4, 4)),
     "node 'conv2d' (Conv2d): padding 'same' is read for odd kernels of stride 1"),
    (chain_of(peer.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([1, 1])), lif((1, 3, 3), r=2.0), shape=(1, 4, 4)),
     "node 'sumpool2d' (SumPool2d): padding must be 0"),
    (chain_of(peer.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])), lif((1, 2, 2)), shape=(1, 4, 4)),
     "projection input->lif only pools, and has no weights to take the factor of the neurons' input: put a Conv2d or Affine"),
    (chain_of(peer.Linear(EYE), peer.Delay(np.full(3, 1e308)), lif((3,))), "the delay of 1e+308 s is not a whole number")])
def test_what_a_network_cannot_hold_is_refused_by_node(tmp_path, nodes, sentence):
    path = write(tmp_path / "net.nir", *nodes)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: .*{re.escape(sentence)}"):
        nir.read(path, dt=0.1)


def test_a_plain_file_needs_dt(tmp_path):
    path = write(tmp_path / "net.nir", *chain_of(peer.Linear(EYE), lif((3,))))
    with pytest.raises(ValueError, match=re.escape(f"{path}: a plain NIR file does not hold the length of a step: give "
                                                   "read(..., dt=), in ms (0.1 for files of snnTorch)")):
        nir.read(path)
    assert nir.describe(path) is None


def test_loops_of_linear_nodes_and_sums_before_them_are_refused(tmp_path):
    named = {"in": peer.Input({"input": np.array([3])}), "a": peer.Linear(EYE), "b": peer.Linear(EYE), "n": lif((3,)),
             "out": peer.Output({"output": np.array([3])})}
    for edges in ([("a", "b"), ("b", "a"), ("b", "n"), ("n", "out")], [("in", "a"), ("n", "a"), ("a", "n"), ("n", "out")]):
        path = write(tmp_path / "net.nir", edges=edges, **named)
        with pytest.raises(ValueError, match=r"on the way to 'n' must be fed by one node and stand in no loop of linear nodes"):
            nir.read(path, dt=0.1)


def test_nested_graphs_are_refused(tmp_path):
    inner = peer.NIRGraph.from_list(*chain_of(lif((3,))), type_check=False)
    path = write(tmp_path / "net.nir", *chain_of(inner))
    with pytest.raises(ValueError, match=r"has type 'NIRGraph', which snnsim cannot read"):
        nir.read(path, dt=0.1)
