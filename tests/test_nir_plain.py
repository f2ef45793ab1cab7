"""NIR files among others: nir.read takes ours, and we read those of other tools as they mean them."""

import re
from dataclasses import replace

import numpy as np
import pytest

from snnsim import engine
from snnsim.hardware import nir
from snnsim.maps import Conv2d, Delayed, Dense, Sparse, SumPool2d
from snnsim.network import Network, Population, Projection
from snnsim.neurons import LIF
from tests import nir_nets, oracle
from tests.test_nir import assert_same, conv, dense, layers

peer = pytest.importorskip("nir", reason="the nir package is not installed: pip install 'snnsim[interop]'")
RNG = np.random.default_rng(1)
DT = 1e-4


def leaves(graph):
    """The nodes of a graph and of those within it, and how many edges there are."""
    nodes, edges = [], len(graph.edges)
    for node in graph.nodes.values():
        inner, more = leaves(node) if isinstance(node, peer.NIRGraph) else ([node], 0)
        nodes += inner
        edges += more
    return nodes, edges


@pytest.mark.parametrize("encoding", ["unit_r", "tau_over_dt"])
@pytest.mark.parametrize("build", [dense, conv])
def test_the_nir_package_reads_our_file(tmp_path, build, encoding):
    network = build()
    report = nir.export(network, tmp_path / "net.nir", encoding=encoding, allow_lossy=True)
    graph = peer.read(tmp_path / "net.nir")
    nodes, edges = leaves(graph)
    assert len(nodes) == report.nodes and edges == report.edges
    assert peer.serialization.read_version(tmp_path / "net.nir") == "1.0.8"
    kinds = {type(node).__name__ for node in nodes}
    assert kinds >= {"Input", "Output", "LIF", "LI", "Affine", "Linear"}
    for node in nodes:
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
def test_a_recurrent_layer_is_a_graph_within_the_graph(tmp_path, encoding):
    """As snnTorch writes RLeaky; the bias of the loop, which tools add from the second step on, stands before the neurons."""
    network, path = recurrent(), tmp_path / "net.nir"
    report = nir.export(network, path, encoding=encoding)
    assert not any("delay" in k for k in report.kept)
    assert_same(network, nir.read(path))
    graph = peer.read(path)
    inner = graph.nodes["hidden"]
    assert sorted(inner.edges) == [("input", "lif"), ("lif", "output"), ("lif", "w_rec"), ("w_rec", "lif")]
    assert {n: type(node).__name__ for n, node in inner.nodes.items()} == {
        "input": "Input", "lif": "LIF", "output": "Output", "w_rec": "Linear"}
    plain = nir.read(path, plain=True, dt=0.1)
    assert [(q.source, q.target, q.delay) for q in plain.projections] == [
        ("node_in", "hidden.lif", 0), ("hidden.lif", "hidden.lif", 1), ("hidden.lif", "out", 0)]
    assert_equal_spikes(network, plain, {"hidden": "hidden.lif", "out": "out"})
    without = Network(network.populations, (network.projections[0], network.projections[2]), readout="count")
    counts = RNG.integers(0, 3, (20, 9)).astype(np.float32)
    assert np.any(oracle.run(without, counts).spikes["hidden"] != oracle.run(network, counts).spikes["hidden"])


def assert_equal_spikes(network, other, names):
    counts = RNG.integers(0, 3, (20, *network.input.shape)).astype(np.float32)
    expected, found = oracle.run(network, counts), oracle.run(other, counts)
    for ours, theirs in names.items():
        assert 0 < expected.spikes[ours].sum() < expected.spikes[ours].size
        np.testing.assert_array_equal(found.spikes[theirs], expected.spikes[ours])


@pytest.mark.parametrize("encoding", ["unit_r", "tau_over_dt"])
@pytest.mark.parametrize("delay", ["loop", "source", "synapse"])
def test_delays_are_delay_nodes(tmp_path, encoding, delay):
    """A loop of two steps, one delay a source neuron, and one a synapse: a branch for each distinct delay."""
    base, path = recurrent(), tmp_path / "net.nir"
    [first, loop, last] = base.projections
    steps = {"loop": np.zeros((4, 12), int), "source": np.broadcast_to(np.arange(12) % 5, (4, 12)),
             "synapse": RNG.integers(0, 4, (4, 12))}[delay]
    late = Delayed(np.where(RNG.random((4, 12)) < 0.3, np.float32(-0.0), last.maps[0].weight), steps)
    network = Network(base.populations, (first, replace(loop, delay=2 if delay == "loop" else 1),
                                         replace(last, maps=(late,), bias=np.float32(0.25))), readout="count")
    nir.export(network, path, encoding=encoding)
    assert_same(network, nir.read(path))
    graph = peer.read(path)
    held = {name: node.delay for name, node in graph.nodes.items() if type(node).__name__ == "Delay"}
    if delay == "loop":
        assert np.array_equal(held["hidden_to_hidden_delay"], np.full(12, 2 * DT))
        assert set(graph.edges) >= {("hidden", "hidden_to_hidden_delay"), ("hidden_to_hidden_delay", "hidden_to_hidden_affine"),
                                    ("hidden_to_hidden_affine", "hidden")}
    elif delay == "source":
        [found] = held.values()
        assert set(np.round(found / DT)) == {0, 1, 2, 3, 4}
    else:
        assert sorted(d[0] for d in held.values()) == pytest.approx([DT, 2 * DT, 3 * DT])
    plain = nir.read(path, plain=True, dt=0.1)
    assert_equal_spikes(network, plain, {"hidden": "hidden" if delay == "loop" else "hidden.lif", "out": "out"})


def test_more_distinct_delays_than_branches_are_refused(tmp_path):
    base = recurrent()
    wide = Network((Population("in", (80,)), *base.populations[2:]),
                   (Projection("in", "out", (Delayed(np.ones((4, 80)), np.arange(320).reshape(4, 80) % 70),)),))
    with pytest.raises(ValueError, match=r"^projection in->out has 70 distinct delays by synapse: NIR holds them as one Delay "
                                         r"and Linear for each, of which at most 64 are written"):
        nir.export(wide, tmp_path / "net.nir")
    assert not (tmp_path / "net.nir").exists()


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


def conv2d(weight, stride=1, padding=0, dilation=1, groups=1):
    return peer.Conv2d((4, 4), weight, stride, padding, dilation, groups, np.zeros(len(weight)))


def pool(kind, padding=(0, 0)):
    return kind(np.array([2, 2]), np.array([2, 2]), np.array(padding))


@pytest.mark.parametrize(("nodes", "sentence"), [
    (chain_of(lif((3,), v_leak=0.5)), "node 'lif' (LIF): v_leak and v_reset must be equal, a neuron of snnsim rests where it "
                                      "is reset to; got 0.5 .. 0.5 and 0 .. 0"),
    (chain_of(lif((3,), v_reset=-1.0)), "node 'lif' (LIF): v_leak and v_reset must be equal"),
    (chain_of(lif((3,), tau=5e-5)), "node 'lif' (LIF): tau must be at least dt = 0.0001 s, got 5e-05 s"),
    (chain_of(lif((2, 2))), "node 'lif' (LIF): tau has shape (2, 2), must be one number or one for each of the (3,) neurons"),
    (chain_of(peer.LI(np.full(3, 1e-3), np.ones(3), np.ones(3))), "node 'li' (LI): v_leak must be 0 everywhere in a neuron"),
    (chain_of(peer.CubaLI(np.ones(3), np.ones(3), np.ones(3), np.zeros(3), np.ones(3)), lif((3,))),
     "node 'cubali' has type 'CubaLI', which snnsim cannot read: allowed are Input"),
    (chain_of(peer.Linear(EYE)), "node 'output' (Output) must be fed by one neuron node (LIF, IF, CubaLIF, LI, I, Threshold), "
                                 "is fed by ['linear']"),
    (chain_of(peer.Linear(np.ones((3, 4))), lif((3,))), "node 'linear' (Linear): Dense takes 4 inputs, got shape (3,)"),
    (chain_of(peer.Scale(np.ones(4)), lif((3,))), "node 'scale' (Scale): scale has shape (4,), must be one number or (3,)"),
    (chain_of(peer.Delay(np.full(2, 1e-4)), lif((3,))), "node 'delay' (Delay): delay has shape (2,), must be one number or"),
    (chain_of(peer.Delay(np.arange(16.0).reshape(1, 4, 4) * 1e-4), conv2d(np.ones((2, 1, 4, 4))), lif((2, 1, 1)),
              shape=(1, 4, 4)),
     "node 'conv2d' (Conv2d): a delay that differs by neuron must stand beside the last Affine or Linear node of its path"),
    (chain_of(peer.Delay(np.full(3, 1.5e-4)), lif((3,))),
     "node 'delay' (Delay): the delay of 0.00015 s is not a whole number of steps of 0.1 ms"),
    (chain_of(peer.Delay(np.full(3, -1e-4)), lif((3,))), "node 'delay' (Delay): the delay of -0.0001 s is not a whole number"),
    (chain_of(peer.Affine(EYE, np.ones(3)), peer.Delay(np.full(3, 1e-4)), lif((3,))),
     "node 'delay' (Delay): a delay must stand before the first bias of its path"),
    (chain_of(conv2d(np.ones((2, 1, 3, 3)), dilation=2), lif((2, 1, 1)), shape=(1, 4, 4)),
     "node 'conv2d' (Conv2d): Conv2d kernel 5x5 is larger than the padded input (1, 4, 4)"),
    (chain_of(conv2d(np.ones((2, 1, 3, 3)), groups=3), lif((2, 2, 2)), shape=(1, 4, 4)),
     "node 'conv2d' (Conv2d): weight of shape (2, 1, 3, 3) in 3 groups does not fit an input of shape (1, 4, 4)"),
    (chain_of(conv2d(np.ones((2, 1, 3, 3)), dilation=10**9), lif((2, 2, 2)), shape=(1, 4, 4)),
     "elements, at most 268435456 are read"),
    (chain_of(conv2d(np.ones((2, 1, 3, 3)), padding=10**9), lif((2, 2, 2)), shape=(1, 4, 4)), "at most 268435456 are read"),
    (chain_of(conv2d(np.ones((2, 1, 2, 2)), padding="same"), lif((2, 4, 4)), shape=(1, 4, 4)),
     "node 'conv2d' (Conv2d): padding 'same' is read for odd kernels of stride 1"),
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


def test_graphs_within_graphs_are_read_at_any_depth(tmp_path):
    """Twice nested, and fed by two nodes: each is a projection."""
    inner = peer.NIRGraph.from_list(*chain_of(lif((3,), r=2.0)), type_check=False)
    outer = peer.NIRGraph.from_list(*chain_of(inner), type_check=False)
    edges = [("in", "a"), ("in", "b"), ("a", "n"), ("b", "n"), ("n", "out")]
    path = write(tmp_path / "net.nir", edges=edges, **{
        "in": peer.Input({"input": np.array([3])}), "a": peer.Linear(EYE), "b": peer.Linear(2 * EYE), "n": outer,
        "out": peer.Output({"output": np.array([3])})})
    network = nir.read(path, dt=0.1)
    assert [p.name for p in network.populations] == ["in", "n.nirgraph.lif"]
    assert [np.asarray(q.maps[0].weight)[0, 0] for q in network.projections] == [1.0, 2.0]
    assert network.output == "n.nirgraph.lif"


def test_a_graph_within_a_graph_must_have_one_input_and_one_output(tmp_path):
    inner = peer.NIRGraph.from_list(*chain_of(lif((3,))), type_check=False)
    del inner.nodes["output"]
    inner.edges.pop()
    path = write(tmp_path / "net.nir", *chain_of(inner))
    with pytest.raises(ValueError, match=r"node 'nirgraph' \(NIRGraph\) must have one Output, has 0"):
        nir.read(path, dt=0.1)


def one(path, *nodes, shape=(3,), out=(3,), **options):
    """The one projection of a chain, and its target."""
    network = nir.read(write(path, *chain_of(*nodes, shape=shape, out=out)), dt=0.1, **options)
    [q] = network.projections
    return q, network.populations[1]


def test_scales_go_to_the_weights_beside_them(tmp_path):
    path, scale = tmp_path / "net.nir", np.array([1.0, 2.0, 4.0])
    q, _ = one(path, peer.Scale(scale), peer.Affine(np.ones((2, 3)), np.ones(2)), peer.Scale(np.array([0.5, 3.0])),
               lif((2,), r=2.0), out=(2,))
    np.testing.assert_array_equal(q.maps[0].weight, np.outer([0.5, 3.0], scale))
    np.testing.assert_array_equal(q.bias, [0.5, 3.0])
    q, _ = one(path, peer.Scale(scale), lif((3,), r=2.0))
    np.testing.assert_array_equal(q.maps[0].apply(np.ones(3)), scale)
    by_channel = np.array([2.0, 3.0]).reshape(2, 1, 1) * np.ones((2, 4, 4))
    q, _ = one(path, peer.Scale(by_channel), pool(peer.AvgPool2d), conv2d(np.ones((1, 2, 2, 2))), lif((1, 1, 1), r=2.0),
               shape=(2, 4, 4), out=(1, 1, 1))
    np.testing.assert_array_equal(q.maps[1].weight[0, :, 0, 0], [0.5, 0.75])
    with pytest.raises(ValueError, match=r"node 'conv2d' \(Conv2d\): what it is fed is scaled differently within a channel"):
        one(path, peer.Scale(np.arange(32.0).reshape(2, 4, 4)), conv2d(np.ones((1, 2, 2, 2))), lif((1, 3, 3)), shape=(2, 4, 4))


def torch_conv(x, weight, stride, padding, dilation, groups):
    torch = pytest.importorskip("torch")
    given = (torch.from_numpy(np.asarray(a, float)) for a in (x[None], weight))
    return torch.nn.functional.conv2d(*given, None, stride, padding, dilation, groups)[0].numpy()


def test_groups_and_dilation_become_zeros_in_the_kernel(tmp_path):
    weight, x = RNG.integers(-8, 9, (6, 2, 3, 2)) / 8, RNG.integers(0, 2, (4, 9, 8)).astype(float)
    expected = torch_conv(x, weight, (2, 1), (1, 0), (2, 3), 2)
    q, _ = one(tmp_path / "net.nir", peer.Conv2d((9, 8), weight, (2, 1), (1, 0), (2, 3), 2, np.zeros(6)),
               lif(expected.shape, r=2.0), shape=x.shape, out=expected.shape)
    np.testing.assert_array_equal(q.maps[0].apply(x), expected)


def test_a_conv1d_is_a_conv2d_of_height_1(tmp_path):
    weight, x = RNG.integers(-8, 9, (6, 2, 3)) / 8, RNG.integers(0, 2, (4, 9)).astype(float)
    expected = torch_conv(x[:, None], weight[:, :, None], (1, 2), (0, 1), (1, 2), 2)
    q, p = one(tmp_path / "net.nir", peer.Conv1d(9, weight, 2, 1, 2, 2, np.zeros(6)), lif((6, 4), r=2.0), shape=(4, 9),
               out=(6, 4))
    np.testing.assert_array_equal(q.maps[0].apply(x[:, None]), expected)
    assert p.shape == expected.shape == (6, 1, 4)


def test_a_padded_pooling_is_a_convolution(tmp_path):
    x = RNG.integers(0, 5, (2, 5, 5)).astype(float)
    q, _ = one(tmp_path / "net.nir", pool(peer.AvgPool2d, (1, 1)), conv2d(np.ones((1, 2, 1, 1))), lif((1, 3, 3), r=2.0),
               shape=(2, 5, 5), out=(1, 3, 3))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))[:, :6, :6].reshape(2, 3, 2, 3, 2).sum((0, 2, 4)) / 4
    np.testing.assert_array_equal(q.maps[1].apply(q.maps[0].apply(x))[0], padded)


def test_pools_alone_are_followed_by_the_gain(tmp_path):
    q, _ = one(tmp_path / "net.nir", pool(peer.SumPool2d), lif((1, 2, 2)), shape=(1, 4, 4), out=(1, 2, 2))
    np.testing.assert_array_equal(q.maps[1].apply(q.maps[0].apply(np.ones((1, 4, 4)))), np.full(4, 2.0))


def test_delays_that_differ_by_neuron_are_those_of_synapses(tmp_path):
    path, weight = tmp_path / "net.nir", np.arange(1.0, 7.0).reshape(2, 3)
    before, behind = peer.Delay(np.array([0.0, 1e-4, 3e-4])), peer.Delay(np.array([2e-4, 0.0]))
    q, _ = one(path, before, peer.Linear(weight), lif((2,), r=2.0), out=(2,))
    assert_same_map(q.maps, Delayed(weight, [[0, 1, 3], [0, 1, 3]]))
    q, _ = one(path, before, peer.Linear(weight), behind, lif((2,), r=2.0), out=(2,))
    assert_same_map(q.maps, Delayed(weight, [[2, 3, 5], [0, 1, 3]]))
    q, _ = one(path, peer.Linear(weight), behind, lif((2,), r=2.0), out=(2,))
    assert_same_map(q.maps, Delayed(weight, [[2, 2, 2], [0, 0, 0]]))
    q, _ = one(path, before, lif((3,), r=4.0))
    assert_same_map(q.maps, Delayed(2 * EYE, np.broadcast_to([0, 1, 3], (3, 3))))


def assert_same_map(maps, expected):
    [m] = maps
    assert isinstance(m, Delayed)
    np.testing.assert_array_equal(m.weight, expected.weight)
    np.testing.assert_array_equal(m.delay, expected.delay)


def test_a_membrane_that_rests_elsewhere_is_its_distance_from_there(tmp_path):
    _, p = one(tmp_path / "net.nir", peer.Linear(EYE), lif((3,), v_leak=-0.5, v_reset=-0.5, r=2.0), firing=">=")
    assert float(p.parameters["theta"]) == 1.5
    _, p = one(tmp_path / "net.nir", peer.Linear(EYE), peer.IF(np.full(3, 1e4), np.ones(3), np.full(3, 0.25)), firing=">=")
    assert (p.rule.name, float(p.parameters["theta"])) == ("if_hard", 0.75)


def test_a_threshold_node_is_a_neuron_without_memory(tmp_path):
    _, p = one(tmp_path / "net.nir", peer.Linear(EYE), peer.Threshold(np.full(3, 1.5)), firing=">=")
    assert (p.rule.name, float(p.parameters["decay"]), float(p.parameters["theta"])) == ("lif_hard", 0.0, 1.5)


@pytest.mark.parametrize("shape", [(), (1,), (1, 3)])
def test_neurons_of_one_number_have_the_shape_of_what_feeds_them(tmp_path, shape):
    """snnTorch writes parameters without a shape, a leading axis of samples, and thresholds of shape (1,)."""
    cuba = peer.CubaLIF(*(np.full(shape, v)[()] for v in (2e-4, 4e-4, 4.0, 0.0, 1.0, 0.0, 2.0)))
    q, p = one(tmp_path / "net.nir", peer.Linear(EYE), cuba, shape=(1, 3))
    assert p.shape == (3,) and {k: float(v) for k, v in p.parameters.items() if k != "theta"} == {"keep": 0.5, "decay": 0.75}
    np.testing.assert_array_equal(q.maps[0].weight, EYE)


def test_a_loop_of_two_populations_takes_its_step_where_it_leads_back(tmp_path):
    edges = [("in", "a"), ("a", "w"), ("w", "b"), ("b", "back"), ("back", "a"), ("b", "out")]
    path = write(tmp_path / "net.nir", edges=edges, **{
        "in": peer.Input({"input": np.array([3])}), "a": lif((3,)), "w": peer.Linear(EYE), "b": lif((3,)),
        "back": peer.Linear(EYE), "out": peer.Output({"output": np.array([3])})})
    assert {(q.source, q.target, q.delay) for q in nir.read(path, dt=0.1).projections} == {
        ("in", "a", 0), ("a", "b", 0), ("b", "a", 1)}


def test_decays_come_back_from_rounded_time_constants(tmp_path):
    """tau = dt / (1 - decay) in float32, as snnTorch computes it, gives back the decay that was meant."""
    for decay in (0.0, 0.5, 0.75, 0.875, 0.9, 0.97265625, 0.999):
        short = np.float32(decay)
        tau = np.float32(1e-4) / (np.float32(1) - short)
        node = peer.LIF(tau, tau / np.float32(1e-4), np.float32(0), np.float32(1), np.float32(0))
        q, p = one(tmp_path / "net.nir", peer.Linear(EYE.astype(np.float32)), node)
        assert p.parameters["decay"] == short, decay
        np.testing.assert_array_equal(q.maps[0].weight, EYE)


def test_what_other_tools_mean_by_the_same_node(tmp_path):
    """Sinabs counts tau in steps and divides no input by it; Norse takes r of IF, and of its own CubaLIF, as a factor."""
    path, ones = tmp_path / "net.nir", np.ones(3)
    q, p = one(path, peer.Linear(EYE), lif((3,), tau=10.0), written_by="sinabs")
    assert float(p.parameters["decay"]) == pytest.approx(np.exp(-0.1), rel=1e-15) and float(p.parameters["theta"]) == 1.0
    np.testing.assert_array_equal(q.maps[0].weight, EYE)
    for tool in ("norse", "sinabs"):
        q, p = one(path, peer.Linear(EYE), peer.IF(ones, ones), written_by=tool, reset="soft")
        assert p.rule.name == "if_soft"
        np.testing.assert_array_equal(q.maps[0].weight, EYE)
    cuba = peer.CubaLIF(tau_mem=4e-4 * ones, tau_syn=2e-4 * ones, r=ones, v_leak=0 * ones, v_threshold=ones)
    q, _ = one(path, peer.Linear(EYE), cuba, written_by="norse")
    np.testing.assert_array_equal(q.maps[0].weight, EYE / 4)
    with pytest.raises(ValueError, match=r"written_by must be one of 'nir', 'snntorch', 'norse', 'sinabs', 'spikingjelly'"):
        nir.read(path, dt=0.1, written_by="brian")


def test_card6_random_nets_spike_the_same_when_read_as_other_tools_read_them(tmp_path):
    """Without the metadata: 25 nets, in both encodings."""
    total = 0
    for i, (network, counts) in enumerate(nir_nets.random_nets(25)):
        nir.export(network, tmp_path / "net.nir", encoding=("unit_r", "tau_over_dt")[i % 2])
        plain = nir.read(tmp_path / "net.nir", plain=True, dt=0.1)
        expected = {n: s.dense() for n, s in engine.run(network, counts).spikes.items()}
        found = {n.removesuffix(".lif"): s.dense() for n, s in engine.run(plain, counts).spikes.items()}
        for name in expected.keys() - {"in"}:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=f"net {i}, {name}")
            total += expected[name].sum()
    assert total > 1000
