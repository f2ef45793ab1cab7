"""A network described in TOML is the network of the Python API, and what is wrong in it is refused at its place."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import snnsim
from snnsim import (
    STDP,
    AllToAll,
    Bernoulli,
    Description,
    FixedIndegree,
    FixedOutdegree,
    FixedTotal,
    LogNormal,
    Network,
    Normal,
    OneToOne,
    Pairs,
    Poisson,
    Population,
    SpikeTimes,
    StepCurrent,
    Synapses,
    TimeBase,
    TsodyksMarkram,
    Uniform,
    description,
    load_description,
    load_network,
    save_network,
)
from snnsim.engine import Simulation
from snnsim.neurons import CondExp, PscExp

DT = 0.1
NET = """
dt = 0.1
seed = 7
duration = 20.0

[neurons.cell.PscExp]
tau = 20
tau_syn = [5.0, 10.0]
e_l = -49.0

[populations.E]
size = 40
neuron = "cell"
initial.v.Uniform = { low = -60.0, high = -50.0 }

[populations.I]
shape = [2, 1, 5]
neuron.PscExp = { tau = 20.0, tau_syn = [5.0, 10.0], e_l = -49.0 }
initial = { v = -55.0, i_ex = [[[0.0, 1.0, 2.0, 3.0, 4.0]]] }

[populations.noise]
size = 40
source.Poisson.rate = 500.0

[[synapses]]
source = "noise"
target = "E"
connect = "OneToOne"
weight = 40.0
receptor = "ex"

[[synapses]]
source = "E"
target = ["E", "I"]
connect.FixedIndegree = { indegree = 8, multiple = false, self_connections = false }
weight.Normal = { mean = 20.0, std = 2.0, low = 0.0 }
delay.Uniform = { low = 0.5, high = 2.0 }
receptor = "ex"

[[synapses]]
source = "I"
target = ["I", "E"]
connect = { Bernoulli = { probability = 0.5 } }
weight = -90
delay = 0.8
receptor = "inh"

[record]
spikes = ["E"]
traces.E = { state = "v", neurons = [0, 39] }
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def says(sentence):
    return pytest.raises(ValueError, match=f"^{re.escape(sentence)}$")


def load(text, here):
    (here / "net.toml").write_text(text, encoding="utf-8")
    return load_description("net.toml")


def in_python():
    cell = PscExp(tau=20.0, tau_syn=(5.0, 10.0), e_l=-49.0)
    wired, drawn = FixedIndegree(8, self_connections=False, multiple=False), Normal(20.0, 2.0, low=0.0)
    return Network(
        (Population.of("E", 40, cell, DT, initial={"v": Uniform(-60.0, -50.0)}),
         Population.of("I", (2, 1, 5), cell, DT, initial={"v": -55.0, "i_ex": np.arange(5.0).reshape(1, 1, 5)}),
         Population("noise", (40,), source=Poisson(500.0))),
        synapses=(Synapses("noise", "E", OneToOne(), 40.0, receptor="ex"),
                  Synapses("E", "E", wired, drawn, Uniform(0.5, 2.0), "ex"),
                  Synapses("E", "I", wired, drawn, Uniform(0.5, 2.0), "ex"),
                  Synapses("I", "I", Bernoulli(0.5), -90.0, 0.8, "inh"), Synapses("I", "E", Bernoulli(0.5), -90.0, 0.8, "inh")),
        time=TimeBase(DT), seed=7)


def test_a_described_network_is_that_of_the_python_api(here):
    found = load(NET, here)
    assert (found.duration, found.record, found.traces) == (20.0, ["E"], {"E": ("v", [0, 39])})
    assert repr(found.network) == repr(in_python())
    runs = [Simulation(n, threads=t).run(20.0) for n, t in ((found.network, 1), (in_python(), 2))]
    assert len(runs[0].spikes["E"]) > 20 and len(runs[0].spikes["I"]) > 5
    assert runs[0].digest() == runs[1].digest()


def test_a_described_network_survives_its_file(here):
    network = load(NET, here).network
    save_network(network, "a.h5")
    save_network(load_network("a.h5"), "b.h5")
    assert (here / "a.h5").read_bytes() == (here / "b.h5").read_bytes()
    assert Simulation(load_network("a.h5")).run(20.0).digest() == Simulation(network).run(20.0).digest()


SMALL = """
dt = 0.1
[populations.a]
size = 3
neuron = "PscExp"
[populations.b]
size = 3
neuron = "CondExp"
[populations.s]
size = 3
source.{source}
[[synapses]]
source = "{start}"
target = "{end}"
connect{connect}
{more}
"""


def small(source="Poisson.rate = 5", start="a", end="a", connect=' = "OneToOne"', more=""):
    return SMALL.format(source=source, start=start, end=end, connect=connect, more=more)


@pytest.mark.parametrize(("text", "rule"), [
    (' = "AllToAll"', AllToAll()), (".AllToAll = {}", AllToAll()), (".AllToAll.self_connections = false", AllToAll(False)),
    (".Bernoulli.probability = 0.25", Bernoulli(0.25)), (".FixedIndegree.indegree = 2", FixedIndegree(2)),
    (".FixedOutdegree = { outdegree = 2, multiple = false }", FixedOutdegree(2, multiple=False)),
    (".FixedTotal.total = 4", FixedTotal(4)), (' = "OneToOne"', OneToOne())])
def test_each_connection_rule(text, rule, here):
    assert load(small(connect=text), here).network.synapses[0].connect == rule


def test_pairs_with_lists_of_weights_and_delays(here):
    [s] = load(small(connect=".Pairs = { source = [0, 2], target = [1, 1] }", more="weight = [1, 2.5]\ndelay = [0.1, 0.2]"),
               here).network.synapses
    assert isinstance(s.connect, Pairs) and np.asarray(s.connect.source).tolist() == [0, 2]
    assert (np.asarray(s.weight).tolist(), np.asarray(s.delay).tolist()) == ([1.0, 2.5], [0.1, 0.2])


@pytest.mark.parametrize(("text", "value"), [
    ("weight = 3", 3.0), ("weight.LogNormal = { mean = 0.5, std = 1, high = 9.0 }", LogNormal(0.5, 1.0, high=9.0)),
    ("weight.Uniform = { low = -inf, high = 1.0 }", None),
    ("weight.Normal = { mean = 0, std = 1, low = -inf }", Normal(0.0, 1.0))])
def test_each_kind_of_weight(text, value, here):
    if value is None:
        with pytest.raises(ValueError, match="synapses 1: weight: low of Uniform must be finite, got -inf"):
            load(small(more=text), here)
    else:
        assert load(small(more=text), here).network.synapses[0].weight == value


@pytest.mark.parametrize(("text", "kind", "name", "values"), [
    ("Poisson.rate = [1, 2, 3]", Poisson, "rate", [1, 2, 3]),
    ("SpikeTimes = { times = [3, 1], neuron = 2 }", SpikeTimes, "times", [3, 1]),
    ("StepCurrent = { times = [0.0, 5.0], values = [[1, 2, 3], [4, 5, 6]] }", StepCurrent, "values", [[1, 2, 3], [4, 5, 6]])])
def test_each_source(text, kind, name, values, here):
    source = load(small(text), here).network.population("s").source
    assert isinstance(source, kind) and np.asarray(getattr(source, name)).tolist() == values


@pytest.mark.parametrize(("text", "plasticity"), [
    ("plasticity.TsodyksMarkram.tau_rec = 100", TsodyksMarkram(tau_rec=100)),
    ('plasticity = "TsodyksMarkram"', TsodyksMarkram()),
    ("plasticity.STDP = { a_plus = 0.1, a_minus = 0.12, w_max = 5, multiplicative = true }",
     STDP(0.1, 0.12, 5, multiplicative=True))])
def test_each_plasticity(text, plasticity, here):
    assert load(small(connect='= "AllToAll"', more=text), here).network.synapses[0].plasticity == plasticity


@pytest.mark.parametrize("name", sorted(description.NEURONS))
def test_each_neuron_has_the_parameters_of_the_python_api(name, here):
    (here / "net.toml").write_text(small().replace('"PscExp"', f'"{name}"').replace('"a"', '"b"')
                                   .replace('connect', 'receptor = "ex"\nconnect'))
    found = load_description("net.toml").network.population("a")
    wanted = Population.of("a", 3, getattr(snnsim.neurons, name)(), DT)
    assert found.rule is wanted.rule and found.initial == wanted.initial
    assert {k: float(v) for k, v in found.parameters.items()} == {k: float(v) for k, v in wanted.parameters.items()}


def test_the_arguments_are_those_of_the_dataclasses(here):
    text = small(start="s", end="b", more='receptor = "inh"')
    text = text.replace('"CondExp"', '{ CondExp = { tau = 15, integrator = "euler" } }')
    found = load(text, here).network.population("b")
    wanted = Population.of("b", 3, CondExp(tau=15.0, integrator="euler"), DT)
    assert found.rule is wanted.rule and found.parameters["g_l"] == wanted.parameters["g_l"]


def test_what_may_be_left_out(here):
    found = load(small(), here)
    assert (found.duration, found.record, found.traces, found.network.seed) == (1000.0, None, {}, 0)
    assert (found.network.synapses[0].weight, found.network.synapses[0].delay) == (1.0, 1.0)


SPIKES = "SpikeTimes.times_file = 'spikes.csv'"


@pytest.mark.parametrize(("text", "times", "chosen"), [
    ("1.5,2\n0.5,0\n", [1.5, 0.5], [2, 0]), ("# time neuron\n\n1.5  2.0 # last\n0.5\t0", [1.5, 0.5], [2, 0]),
    ("3\n1e1\n", [3.0, 10.0], [0, 0]), (" 1.5 , 2\r\n", [1.5], [2])])
def test_spike_times_from_a_file(text, times, chosen, here):
    (here / "spikes.csv").write_text(text)
    source = load(small(SPIKES), here).network.population("s").source
    assert (np.asarray(source.times).tolist(), np.asarray(source.neuron).tolist()) == (times, chosen)


def test_the_file_of_spikes_lies_beside_the_description(here):
    (here / "below").mkdir()
    (here / "below" / "spikes.csv").write_text("1.0")
    (here / "below" / "net.toml").write_text(small(SPIKES))
    assert load_description(here / "below" / "net.toml").network.population("s").source is not None


@pytest.mark.parametrize(("text", "sentence"), [
    (None, "there is no file spikes.csv"), ("", "spikes.csv holds no spikes: a line for each, with its time in ms, and its "
                                               "neuron after a comma"),
    ("time,neuron\n1,2", "spikes.csv, line 1: expected a time in ms and a neuron, got 'time,neuron'"),
    ("# a\n1,2\n3\n", "spikes.csv, line 3: expected a time in ms and a neuron, got '3'"),
    ("1\n2,3\n", "spikes.csv, line 2: expected a time in ms, got '2,3'"),
    ("1,2,3\n", "spikes.csv, line 1: expected a time in ms, got '1,2,3'"),
    ("1,0.5\n", "spikes.csv, line 1: expected a time in ms and a neuron, got '1,0.5'"),
    ("1,-1\n", "spikes.csv, line 1: expected a time in ms and a neuron, got '1,-1'"),
    ("1,1e300\n", "spikes.csv, line 1: expected a time in ms and a neuron, got '1,1e300'"),
    ("-1\n", "spikes.csv, line 1: expected a time in ms, got '-1'"),
    ("nan\n", "spikes.csv, line 1: expected a time in ms, got 'nan'"),
    ("inf\n", "spikes.csv, line 1: expected a time in ms, got 'inf'")])
def test_files_of_spikes_are_refused_with_their_line(text, sentence, here):
    if text is not None:
        (here / "spikes.csv").write_text(text)
    with says(f"net.toml: populations s: source: {sentence}"):
        load(small(SPIKES), here)


def test_spikes_of_neurons_that_are_not_there(here):
    (here / "spikes.csv").write_text("1,0\n2,3")
    with says("net.toml: populations s: population 's': neuron of SpikeTimes must lie in 0 .. 2, got 0 .. 3"):
        load(small(SPIKES), here)


def test_a_file_of_spikes_that_is_too_large(here, monkeypatch):
    monkeypatch.setattr(description, "LARGEST_FILE", 10)
    (here / "spikes.csv").write_text("1.0\n" * 3)
    with says("net.toml: populations s: source: spikes.csv has 12 bytes, more than the 10 that are read: give the spikes as "
              "SpikeTimes in Python"):
        load(small(SPIKES), here)


POPULATION_KEYS = "size, shape, neuron, source, initial"
SYNAPSE_KEYS = "source, target, connect, weight, delay, receptor, plasticity"
RULES = "AllToAll, Bernoulli, FixedIndegree, FixedOutdegree, FixedTotal, OneToOne, Pairs"
FIRST = 'neuron = "cell"\n'


@pytest.mark.parametrize(("old", "new", "sentence"), [
    ("dt = 0.1", "dt = 0.1\nsede = 3",
     "unknown key 'sede'; allowed are dt, populations, synapses, seed, duration, neurons, record; did you mean 'seed'?"),
    ("dt = 0.1", "", "dt is missing"),
    ("dt = 0.1", 'dt = "0.1"', "dt: must be a number, got '0.1'"),
    ("dt = 0.1", "dt = true", "dt: must be a number, got True"),
    ("dt = 0.1", "dt = -0.1", "dt must be above 0, got -0.1"),
    ("dt = 0.1", "dt = nan", "dt must be finite, got nan"),
    ("seed = 7", "seed = 1.5", "seed must be a whole number from 0 to 2**63 - 1, got 1.5"),
    ("seed = 7", "seed = -1", "seed must be a whole number from 0 to 2**63 - 1, got -1"),
    ("duration = 20.0", "duration = []", "duration: must be a number, got []"),
    ("duration = 20.0", "duration = 20.05", "duration must be a whole number of steps of 0.1 ms, got 20.05"),
    ("duration = 20.0", "duration = 0", "duration must be above 0, got 0"),
    ("duration = 20.0", "duration = 1e400", "duration must be finite, got inf"),
    ("tau = 20\n", "tau = 20\ntau_m = 3\n",
     "neurons cell: PscExp: unknown key 'tau_m'; allowed are tau, c_m, e_l, v_th, v_reset, refractory, tau_syn, drive; "
     "did you mean 'tau'?"),
    ("tau = 20\n", "tau = 0\n", "neurons cell: tau must be above 0, got 0"),
    ("tau = 20\n", 'tau = "20"\n', "neurons cell: PscExp: tau: must be a number, got '20'"),
    ("tau = 20\n", "tau = [20, 30]\n", "neurons cell: PscExp: tau: must be a number, got [20, 30]"),
    ("tau = 20\n", "tau = 2026-01-01\n", "neurons cell: PscExp: tau: must be a number, got datetime.date(2026, 1, 1)"),
    ("tau = 20\n", f"tau = {10**30}\n", f"neurons cell: PscExp: tau: must be a number, got {10**30}"),
    ("tau_syn = [5.0, 10.0]\ne", "tau_syn = [5.0]\ne",
     "neurons cell: tau_syn must be one number or a pair (tau_ex, tau_in), got (5.0,)"),
    ("tau_syn = [5.0, 10.0]\ne", 'tau_syn = [5.0, "a"]\ne', "neurons cell: PscExp: tau_syn: must be a number, got 'a'"),
    ("[neurons.cell.PscExp]", "[neurons.cell.PscExpo]",
     f"neurons cell: unknown neuron 'PscExpo'; known are {', '.join(description.NEURONS)}; did you mean 'PscExp'?"),
    (FIRST, 'neuron = "call"\n',
     f"populations E: neuron: unknown neuron 'call'; known are cell, {', '.join(description.NEURONS)}; did you mean "
     "'cell'?"),
    (FIRST, 'neuron = "zz"\n', f"populations E: neuron: unknown neuron 'zz'; known are cell, {', '.join(description.NEURONS)}"),
    (FIRST, "neuron = 3\n", "populations E: neuron: must be one neuron, as { Name = { argument = value } }, got 3"),
    (FIRST, "neuron = { LIF = {}, IF = {} }\n",
     "populations E: neuron: must be one neuron, as { Name = { argument = value } }, got {'LIF': {}, 'IF': {}}"),
    (FIRST, "neuron = { LIF = 3 }\n", "populations E: neuron: LIF: must be a table, got 3"),
    (FIRST, 'neuron.LIF.reset = "sotf"\n', "populations E: neuron: reset must be one of 'soft', 'hard', 'none', got 'sotf'"),
    (FIRST, "neuron.LIF.reset = 3\n", "populations E: neuron: LIF: reset: must be one of 'soft', 'hard', 'none', got 3"),
    (FIRST, "", "populations E: give neuron or source"),
    (FIRST, FIRST + 'source = "Poisson"\n', "populations E: give neuron or source, not both"),
    ("size = 40\nneuron", "neuron", "populations E: give size or shape"),
    ("size = 40\nneuron", "size = 40\nshape = [40]\nneuron", "populations E: give size or shape, not both"),
    ("size = 40\nneuron", "size = 40.0\nneuron", "populations E: size: must be a whole number, got 40.0"),
    ("size = 40\nneuron", "size = true\nneuron", "populations E: size: must be a whole number, got True"),
    ("size = 40\nneuron", "size = 0\nneuron",
     "populations E: shape of population 'E' must be (N,) or (channels, height, width) with positive sizes, got (0,)"),
    ("size = 40\nneuron", "sise = 40\nneuron",
     f"populations E: unknown key 'sise'; allowed are {POPULATION_KEYS}; did you mean 'size'?"),
    ("shape = [2, 1, 5]", "shape = [2, 5]",
     "populations I: shape of population 'I' must be (N,) or (channels, height, width) with positive sizes, got (2, 5)"),
    ("shape = [2, 1, 5]", "shape = 10", "populations I: shape: must be a list of whole numbers, got 10"),
    ("shape = [2, 1, 5]", "shape = [2.0, 1, 5]", "populations I: shape: must be a list of whole numbers, got [2.0, 1, 5]"),
    ("initial.v.Uniform", "initial.u.Uniform",
     "populations E: initial state of population 'E' must be one of 'ref', 'i_ex', 'i_in', 'v', got 'u'"),
    ("high = -50.0", "high = -70", "populations E: initial v: high of Uniform must be above -60, got -70"),
    ("high = -50.0", "hihg = -50.0",
     "populations E: initial v: Uniform: unknown key 'hihg'; allowed are low, high; did you mean 'high'?"),
    (", high = -50.0", "", "populations E: initial v: Uniform: high is missing"),
    ("initial.v.Uniform", "initial.v.Unifrom",
     "populations E: initial v: unknown distribution 'Unifrom'; known are LogNormal, Normal, Uniform; did you mean "
     "'Uniform'?"),
    ("initial.v.Uniform = { low = -60.0, high = -50.0 }", "initial = 3", "populations E: initial: must be a table, got 3"),
    ("initial.v.Uniform = { low = -60.0, high = -50.0 }", 'initial.v = "3"',
     "populations E: initial v: must be a number, got '3'"),
    ("initial.v.Uniform = { low = -60.0, high = -50.0 }", "initial.v = [1, 2]",
     "populations E: initial 'v' of population 'E' has shape (2,), which does not broadcast to (40,)"),
    ("initial.v.Uniform = { low = -60.0, high = -50.0 }", "initial.v = [1, [2]]",
     "populations E: initial v: the lists within must be equally long"),
    ("initial.v.Uniform = { low = -60.0, high = -50.0 }", "initial.v = [1, true]",
     "populations E: initial v: must be a number, got True"),
    ("source.Poisson.rate = 500.0", "source.Poisson.rate = -1",
     "populations noise: source: rate of Poisson must be at least 0, got -1"),
    ("source.Poisson.rate = 500.0", 'source.Poisson.rate = "1"',
     "populations noise: source: Poisson: rate: must be a number, got '1'"),
    ("source.Poisson.rate = 500.0", "source.Poisson.rate = [1, 2]",
     "populations noise: population 'noise': rate of Poisson must be a number or have 40 entries, got shape (2,)"),
    ("source.Poisson.rate = 500.0", 'source = "Poisson"', "populations noise: source: Poisson: rate is missing"),
    ("source.Poisson.rate = 500.0", "source.poison.rate = 5",
     "populations noise: source: unknown source 'poison'; known are Poisson, SpikeTimes, StepCurrent; did you mean "
     "'Poisson'?"),
    ("source.Poisson.rate = 500.0", "source.Poisson.rate = 5\ninitial.v = 3",
     "populations noise: a source has no initial states: leave out initial"),
    ("source.Poisson.rate = 500.0", "source.SpikeTimes = { times_file = 'a', neuron = 1 }",
     "populations noise: source: times_file must be the name of a file, and stands alone, got {'times_file': 'a', "
     "'neuron': 1}"),
    ("source.Poisson.rate = 500.0", "source.SpikeTimes.times_file = 3",
     "populations noise: source: times_file must be the name of a file, and stands alone, got {'times_file': 3}"),
    ("source.Poisson.rate = 500.0", "source.SpikeTimes.times = [1.0, -2.0]",
     "populations noise: source: times of SpikeTimes must be at least 0, got array([ 1., -2.])"),
    ('source = "noise"', 'source = "nose"',
     "synapses 1: source: unknown population 'nose'; known are E, I, noise; did you mean 'noise'?"),
    ('target = ["E", "I"]', 'target = ["E", "X"]', "synapses 2: target: unknown population 'X'; known are E, I, noise"),
    ('target = ["E", "I"]', 'target = ["E", "E"]', "synapses 2: target: 'E' stands there twice"),
    ('target = ["E", "I"]', "target = 3", "synapses 2: target: must be the name of a population, or a list of names, got 3"),
    ('target = ["E", "I"]', 'target = ["E", 3]',
     "synapses 2: target: must be the name of a population, or a list of names, got ['E', 3]"),
    ('target = ["E", "I"]', 'target = "noise"', "synapses 2: synapses E->noise ends at a source"),
    ('target = ["E", "I"]', "", "synapses 2: target is missing"),
    ("connect.FixedIndegree = {", "connect.Fixed = {",
     f"synapses 2: connect: unknown connection rule 'Fixed'; known are {RULES}; did you mean 'FixedTotal'?"),
    ("indegree = 8", "indegree = 80",
     "synapses 2: synapses E->E: FixedIndegree wants 80 different sources, but there are only 39; allow multiple=True"),
    ("indegree = 8", "indegree = 8.0",
     "synapses 2: connect: indegree of FixedIndegree must be a whole number, at least 0, got 8.0"),
    ("indegree = 8", "degree = 8",
     "synapses 2: connect: FixedIndegree: unknown key 'degree'; allowed are indegree, self_connections, multiple; did "
     "you mean 'indegree'?"),
    ("multiple = false", "multiple = 0", "synapses 2: connect: FixedIndegree: multiple: must be true or false, got 0"),
    ("probability = 0.5", "probability = 1.5", "synapses 3: connect: probability of Bernoulli must lie from 0 to 1, got 1.5"),
    ("probability = 0.5", "", "synapses 3: connect: Bernoulli: probability is missing"),
    ("weight = 40.0", 'weight = "40"', "synapses 1: weight: must be a number, got '40'"),
    ("weight = 40.0", "weight = [1.0, 2.0]", "synapses 1: weight of synapses noise->E has shape (2,), must be (40,)"),
    ("weight = -90", "weight = [1.0, 2.0]",
     "synapses 3: weight of synapses I->I is an array, but Bernoulli draws the pairs: give a number or a distribution"),
    ("weight = -90", "weight = nan", "synapses 3: weight of synapses I->I must be finite, got nan"),
    ("weight = 40.0", "wieght = 40.0", f"synapses 1: unknown key 'wieght'; allowed are {SYNAPSE_KEYS}; did you mean 'weight'?"),
    ("std = 2.0", "std = 0.0", "synapses 2: weight: std of Normal must be above 0, got 0.0"),
    ("delay = 0.8", "delay = 0.01", "synapses 3: delay of synapses I->I must be at least one step (0.1 ms), got 0.01 ms"),
    ("delay = 0.8", "delay.Normal = { mean = 1, std = 1, low = 0.1 }",
     "synapses 3: delay of synapses I->I has no upper bound: give high=, which sizes the ring that holds spikes under "
     "way"),
    ('receptor = "inh"', 'receptor = "x"',
     "synapses 3: synapses I->I: receptor 'x' is not one of ('ex', 'inh') of rule psc_exp_two"),
    ('receptor = "inh"', "receptor = 3",
     "synapses 3: synapses I->I: receptor 3 is not one of ('ex', 'inh') of rule psc_exp_two"),
    ('receptor = "inh"', 'receptor = "inh"\nplasticity = "STDQ"',
     "synapses 3: plasticity: unknown plasticity 'STDQ'; known are STDP, TsodyksMarkram; did you mean 'STDP'?"),
    ('receptor = "inh"', 'receptor = "inh"\nplasticity.STDP = { a_plus = 1, a_minus = 1, w_max = 3, w_min = 4 }',
     "synapses 3: plasticity: w_max of STDP must be above 4, got 3"),
    ('receptor = "inh"', 'receptor = "inh"\nplasticity.STDP = { a_plus = 1, a_minus = 1, w_max = 3 }',
     "synapses 3: weight of synapses I->I must start within w_min .. w_max of its STDP (0 .. 3), got -90 .. -90"),
    ('spikes = ["E"]', 'spikes = ["noise"]', "record: spikes: unknown population 'noise'; known are E, I"),
    ('spikes = ["E"]', 'spike = ["E"]', "record: unknown key 'spike'; allowed are spikes, traces; did you mean 'spikes'?"),
    ("traces.E", "traces.X", "record: traces: unknown population 'X'; known are E, I"),
    ('state = "v"', 'state = "u"', "state of traces of 'E' must be one of 'ref', 'i_ex', 'i_in', 'v', got 'u'"),
    ('state = "v", ', "", "record: traces E: state is missing"),
    ("neurons = [0, 39]", "neurons = [0, 40]", "neurons of traces of 'E' must be a list of numbers in 0 .. 39, got [0, 40]"),
    ("neurons = [0, 39]", "neurons = []", "neurons of traces of 'E' must be a list of numbers in 0 .. 39, got []"),
    ("neurons = [0, 39]", "neurons = [true]", "neurons of traces of 'E' must be a list of numbers in 0 .. 39, got [True]"),
    ("neurons = [0, 39]", "neurons = 0", "record: traces E: neurons: must be a list of numbers, got 0"),
])
def test_refusals(old, new, sentence, here):
    assert old in NET
    with says(f"net.toml: {sentence}"):
        load(NET.replace(old, new, 1), here)


@pytest.mark.parametrize(("text", "sentence"), [
    ("dt = 0.1\npopulations = 3\nsynapses = []", "net.toml: populations: must be a table, got 3"),
    ("dt = 0.1\npopulations.E = 3\nsynapses = []", "net.toml: populations E: must be a table, got 3"),
    ("dt = 0.1\n[populations]\n[[synapses]]", "net.toml: populations: none has a neuron, so there is nothing to simulate"),
    (small().partition("[[synapses]]")[0], "net.toml: synapses is missing"),
    ("synapses = []\n" + small().partition("[[synapses]]")[0],
     "net.toml: synapses: must be a list of tables, each under [[synapses]], got []"),
    ("synapses = [3]\n" + small().partition("[[synapses]]")[0], "net.toml: synapses 1: must be a table, got 3"),
    ("neurons = 3\n" + small(), "net.toml: neurons: must be a table, got 3"),
    ("record = 3\n" + small(), "net.toml: record: must be a table, got 3"),
    (small(end="b", more='receptor = "ex"\nweight = -1.0'), "net.toml: synapses 1: weight of "
     "synapses a->b must not be negative: receptor 'ex' of rule cond_exp is a conductance, got -1"),
])
def test_files_that_describe_nothing(text, sentence, here):
    with says(sentence):
        load(text, here)


def test_files_that_are_no_text(here):
    with pytest.raises(FileNotFoundError, match="^there is no file none.toml$"):
        load_description("none.toml")
    with pytest.raises(ValueError, match=r"^net.toml is not valid TOML: .* \(at line 3, column "):
        load("a = 1\nb = 2\nc = ?\n", here)
    with says("net.toml is nested too deeply to be read"):
        load(f"a = {'[' * 10_000}{']' * 10_000}", here)
    (here / "net.toml").write_bytes(b"dt = 0.1 # \xff\n")
    with pytest.raises(ValueError, match="^net.toml is not text in UTF-8: "):
        load_description("net.toml")


VALUES = st.recursive(st.sampled_from(["true", "0", "-1", "1.5", "nan", "1e400", f"{10**25}", '"E"', '"v"', '"OneToOne"',
                                       '"Normal"', "2026-01-01", "[]", "{}"]),
                      lambda inner: st.lists(inner, max_size=2).map(lambda v: f"[{', '.join(v)}]")
                      | st.tuples(st.sampled_from(["E", "v", "Normal", "LIF", "low", "mean"]), inner)
                      .map(lambda t: f"{{ {t[0]} = {t[1]} }}"))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_there_is_a_description_or_a_sentence(data, tmp_path_factory):
    """One value of the file is replaced: never another exception than ValueError, which names the file."""
    lines = NET.splitlines()
    at = data.draw(st.sampled_from([i for i, line in enumerate(lines) if " = " in line]))
    lines[at] = f"{lines[at].partition(' = ')[0]} = {data.draw(VALUES)}"
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text("\n".join(lines))
    said = ""
    try:
        load_description(path)
    except ValueError as e:
        said = str(e)
    assert said == "" or said.startswith(f"{path}")


@pytest.mark.parametrize(("change", "sentence"), [
    ({"network": 3}, "network must be a Network, got int"),
    ({"duration": 0.15}, "duration must be a whole number of steps of 0.1 ms, got 0.15"),
    ({"record": ["noise"]}, "record must be one of 'E', 'I', got 'noise'"),
    ({"traces": {"X": ("v", [0])}}, "traces must be one of 'E', 'I', got 'X'"),
    ({"traces": 3}, "traces must be a state and a list of neurons for each population, got 3"),
    ({"traces": {"E": "v"}}, "traces must be a state and a list of neurons for each population, got {'E': 'v'}"),
    ({"traces": {"E": ("v", 3)}}, "neurons of traces of 'E' must be a list of numbers in 0 .. 39, got 3"),
    ({"traces": {"E": ("v", [0.5])}}, "neurons of traces of 'E' must be a list of numbers in 0 .. 39, got [0.5]")])
def test_a_description_made_in_python_is_checked(change, sentence):
    with says(sentence):
        Description(**{"network": in_python(), **change})


def test_one_name_is_recorded_and_traced_neurons_may_be_an_array():
    assert Description(in_python(), record="E").record == ("E",)
    assert list(Description(in_python(), traces={"E": ("v", np.arange(3))}).traces["E"][1]) == [0, 1, 2]
