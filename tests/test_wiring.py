"""The synapses and random numbers that the engine draws: what each rule promises exactly, and distributions against theory.

Nothing here can flicker: every seed is fixed, so that a p-value is the same number in each run. The bound decides once
whether a draw is believable; it must be looked at again only where the generators change.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.linalg import hadamard

from snnsim import (
    AllToAll,
    Bernoulli,
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
    Uniform,
)
from snnsim.distributions import draw
from snnsim.engine import Simulation, connections, source_output
from snnsim.engine.advance import BLOCK, EMITTER, count_steps
from snnsim.engine.layout import LARGEST, Layout, build
from snnsim.engine.plan_populations import Noise, Planner, poisson_thresholds, window
from snnsim.engine.wiring import FULL, PACKED, ROW, ziggurat
from snnsim.neurons import IF, LI
from snnsim.rule import Rule

P_VALUE = 1e-4  # on either side: a statistic can also be too good to be true
SIZES = st.sampled_from([1, 2, 3, 7, 33, 70])
SEEDS = st.integers(0, 2**63 - 1)
DT = 0.1


def _keep(a: float, b: float, x: float, y: float) -> tuple[float, float]:
    return x, y


KEEP = Rule("keep", _keep, inputs=("x", "y"))  # its states are what arrived in the step


def believable(statistic, freedom):
    """A statistic that should be chi-squared."""
    return P_VALUE < stats.chi2.sf(statistic, freedom) < 1 - P_VALUE


def fits(values, distribution):
    """Whole numbers against a distribution of scipy's: chi-squared over values, those that are rarely expected together."""
    low, high = int(values.min()), int(values.max()) + 1
    observed = np.bincount(values.astype(np.int64) - low, minlength=high - low + 1)
    cumulated = distribution.cdf(np.arange(low, high + 1))
    return fits_bins(observed, np.diff(np.concatenate([[0.0], cumulated[:-1], [1.0]])))


def fits_bins(observed, probability):
    total, bins, o, e = observed.sum(), [], 0.0, 0.0
    for n, p in zip(observed, probability, strict=True):
        o, e = o + n, e + p * total
        if e >= 8:
            bins.append([o, e])
            o = e = 0.0
    if not bins:
        return o == total
    bins[-1][0] += o
    bins[-1][1] += e
    o, e = np.array(bins).T
    return len(bins) == 1 or believable(((o - e) ** 2 / e).sum(), len(bins) - 1)


def joined(connect, sources, targets=None, seed=0, dt=DT, **options):
    """A network of one Synapses, within a population or between two."""
    populations = [Population.of("b", targets or sources, IF(), dt)]
    if targets:
        populations.insert(0, Population("a", (sources,), source=SpikeTimes([])))
    s = Synapses(populations[0].name, "b", connect, **{"delay": dt, **options})
    return Network(tuple(populations), synapses=(s,), time=TimeBase(dt), seed=seed)


def drawn(*arguments, **options):
    network = joined(*arguments, **options)
    return connections(network, network.synapses[0])


def pairs(c):
    return list(zip(c.source.tolist(), c.target.tolist(), strict=True))


class TestRules:
    """What holds for every draw, at every size."""

    @staticmethod
    def check(c, connect, n, m):
        """What all rules promise; m is None within a population."""
        assert len(c.source) == len(c.target) == len(c.weight) == len(c.delay)
        assert np.all(np.diff(c.source) >= 0)
        for index, size in ((c.source, n), (c.target, m or n)):
            assert index.size == 0 or (index.min() >= 0 and index.max() < size)
        assert m or getattr(connect, "self_connections", True) or not np.any(c.source == c.target)
        assert getattr(connect, "multiple", False) or isinstance(connect, Pairs) or len(set(pairs(c))) == len(c.source)

    @staticmethod
    def every_pair(n, m, self_connections=True):
        return [(i, j) for i in range(n) for j in range(m or n) if m or self_connections or i != j]

    @settings(max_examples=30, deadline=None)
    @given(SIZES, st.none() | SIZES, st.booleans(), SEEDS)
    def test_all_to_all(self, n, m, self_connections, seed):
        rng = np.random.default_rng(seed)
        weight, steps = rng.normal(size=(m or n, n)), rng.integers(1, 9, (m or n, n))
        connect = AllToAll(self_connections)
        c = drawn(connect, n, m, seed, weight=weight, delay=steps * DT)
        self.check(c, connect, n, m)
        assert pairs(c) == self.every_pair(n, m, self_connections)
        assert np.array_equal(c.weight, weight[c.target, c.source]) and np.array_equal(c.delay, steps[c.target, c.source])

    @settings(max_examples=20, deadline=None)
    @given(SIZES, st.booleans(), SEEDS)
    def test_one_to_one(self, n, same, seed):
        rng = np.random.default_rng(seed)
        weight, steps = rng.normal(size=n), rng.integers(1, 9, n)
        c = drawn(OneToOne(), n, None if same else n, seed, weight=weight, delay=steps * DT)
        assert np.array_equal(c.source, np.arange(n)) and np.array_equal(c.target, np.arange(n))
        assert np.array_equal(c.weight, weight) and np.array_equal(c.delay, steps)

    @settings(max_examples=40, deadline=None)
    @given(SIZES, st.none() | SIZES, st.booleans(), st.sampled_from([0.0, 1e-3, 0.3, 0.9, 1.0]), SEEDS)
    def test_bernoulli(self, n, m, self_connections, probability, seed):
        connect = Bernoulli(probability, self_connections)
        c = drawn(connect, n, m, seed)
        self.check(c, connect, n, m)
        if probability in (0.0, 1.0):
            assert sorted(pairs(c)) == (self.every_pair(n, m, self_connections) if probability else [])

    @settings(max_examples=60, deadline=None)
    @given(SIZES, st.none() | SIZES, st.booleans(), st.booleans(), st.data())
    def test_fixed_numbers(self, n, m, self_connections, multiple, data):
        to_choose = [size - (m is None and not self_connections) for size in (n, m or n)]
        for kind, pool in ((FixedIndegree, to_choose[0]), (FixedOutdegree, to_choose[1]), (FixedTotal, n * to_choose[1])):
            k = data.draw(st.sampled_from([0, 1, pool // 2, pool, 2 * pool]))
            k = k if multiple and pool else min(k, pool)
            connect = kind(k, self_connections, multiple)
            c = drawn(connect, n, m, data.draw(SEEDS))
            self.check(c, connect, n, m)
            if kind is FixedTotal:
                assert len(c.source) == k
            else:
                end, size = (c.source, n) if kind is FixedOutdegree else (c.target, m or n)
                assert np.array_equal(np.bincount(end, minlength=size), np.full(size, k))
            if k == pool and not multiple:
                assert sorted(pairs(c)) == self.every_pair(n, m, self_connections)

    @settings(max_examples=30, deadline=None)
    @given(SIZES, st.none() | SIZES, st.integers(0, 90), SEEDS)
    def test_pairs(self, n, m, k, seed):
        rng = np.random.default_rng(seed)
        source, target = rng.integers(0, n, k), rng.integers(0, m or n, k)
        weight, steps = rng.normal(size=k), rng.integers(1, 9, k)
        connect = Pairs(source, target)
        c = drawn(connect, n, m, seed, weight=weight, delay=steps * DT)
        self.check(c, connect, n, m)
        order = np.argsort(source, kind="stable")
        for found, wanted in ((c.source, source), (c.target, target), (c.weight, weight), (c.delay, steps)):
            assert np.array_equal(found, wanted[order])

    @settings(max_examples=30, deadline=None)
    @given(SEEDS, st.sampled_from([Uniform(0.1, 2.04), Normal(1.0, 1.0, 0.1, 3.0), LogNormal(0.0, 1.0, 0.1, 0.9), 0.35]))
    def test_delays_stay_within_what_was_announced(self, seed, delay):
        network = joined(FixedTotal(200), 5, 7, seed, delay=delay)
        c = connections(network, network.synapses[0])
        low, high = network.synapses[0].steps(DT)
        assert low <= c.delay.min() and c.delay.max() <= high < Layout(network, 1, "single").slots

    def test_more_neurons_than_one_part_holds(self):
        n = 70_000
        c = drawn(OneToOne(), n)
        assert np.array_equal(c.target, np.arange(n))

    def test_different_pairs_among_very_many(self):
        assert len(set(pairs(drawn(FixedTotal(1000, multiple=False), 33_000)))) == 1000


N, M, DRAWS = 14, 23, 400  # of the tests of uniformity


def counted(connect, same):
    """How often each pair [source, target] is drawn over many seeds; within a population without the pairs i, i."""
    n, m = (M, M) if same else (N, M)
    found = np.zeros((n, m), np.int64)
    for seed in range(DRAWS):
        c = drawn(connect, n, None if same else m, seed)
        np.add.at(found, (c.source, c.target), 1)
    if same and not connect.self_connections:
        assert not found.diagonal().any()
        found = found[~np.eye(n, dtype=bool)].reshape(n, m - 1)
    return found


@pytest.mark.parametrize("connect", [
    Bernoulli(0.3), Bernoulli(0.85), FixedTotal(90), FixedTotal(90, multiple=False), FixedOutdegree(5),
    FixedOutdegree(5, multiple=False), FixedOutdegree(15, multiple=False), FixedIndegree(6), FixedIndegree(6, multiple=False),
    FixedIndegree(11, multiple=False)], ids=repr)
@pytest.mark.parametrize("same", [False, True])
def test_every_pair_is_as_likely_as_any_other(connect, same):
    connect = replace(connect, self_connections=not same)
    found = counted(connect, same)
    if isinstance(connect, Bernoulli):
        p = connect.probability
        assert believable(((found - DRAWS * p) ** 2).sum() / (DRAWS * p * (1 - p)), found.size)
        return
    # runs of pairs among which a fixed number is drawn each time: a target's, a source's, or all
    if isinstance(connect, FixedIndegree):
        if same:  # a target's sources: those above it stand one place lower, as the pair i, i is missing
            whole = np.zeros((M, M), np.int64)
            whole[~np.eye(M, dtype=bool)] = found.ravel()
            found = whole.T[~np.eye(M, dtype=bool)].reshape(M, M - 1)
        else:
            found = found.T
    found = found.reshape(1, -1) if isinstance(connect, FixedTotal) else found
    runs, size = found.shape
    expected = found.sum(1, keepdims=True) / size
    # without replacement a pair varies less: K of N, variance K/N (1 - K/N), covariance of two -1/(N - 1) of it
    narrow = 1.0 if connect.multiple else (1 - expected / DRAWS) * size / (size - 1)
    assert believable(((found - expected) ** 2 / (expected * narrow)).sum(), runs * (size - 1))


def test_degrees_have_the_distributions_that_the_rules_say():
    n, m = 3001, 2003
    degrees = lambda c: (np.bincount(c.source, minlength=n), np.bincount(c.target, minlength=m))  # noqa: E731
    out, into = degrees(drawn(Bernoulli(0.02), n, m, 1))
    assert fits(out, stats.binom(m, 0.02)) and fits(into, stats.binom(n, 0.02))
    out, into = degrees(drawn(FixedTotal(100_000), n, m, 2))
    assert fits(out, stats.binom(100_000, 1 / n)) and fits(into, stats.binom(100_000, 1 / m))
    out, into = degrees(drawn(FixedTotal(100_000, multiple=False), n, m, 3))
    assert fits(out, stats.hypergeom(n * m, m, 100_000)) and fits(into, stats.hypergeom(n * m, n, 100_000))
    assert fits(degrees(drawn(FixedIndegree(40), n, m, 4))[0], stats.binom(40 * m, 1 / n))
    assert fits(degrees(drawn(FixedOutdegree(40, multiple=False), n, m, 5))[1], stats.binom(n, 40 / m))


def test_two_synapses_of_a_network_are_drawn_apart():
    """As many common pairs as chance gives."""
    populations = Population.of("b", 500, IF(), DT), Population.of("c", 500, IF(), DT)
    for connect in (Bernoulli(0.1), FixedIndegree(50, multiple=False), FixedOutdegree(50, multiple=False)):
        s = [Synapses("b", end, connect, Uniform(0.0, 1.0)) for end in ("b", "c", "b")]
        c = [connections(Network(populations, synapses=s, time=TimeBase(DT), seed=5), q) for q in s]
        for other in c[1:]:
            common = len(set(pairs(c[0])) & set(pairs(other)))
            assert abs(common - 2500) < 4 * 50
        assert abs(np.corrcoef(c[0].weight[:20_000], c[1].weight[:20_000])[0, 1]) < 4 / np.sqrt(20_000)


@pytest.mark.parametrize("connect", [
    FixedIndegree(50), FixedOutdegree(50), FixedTotal(15_000), Bernoulli(0.15)], ids=repr)
def test_weights_and_delays_know_nothing_of_the_wiring(connect):
    """Nor of each other: the mean weight of what a neuron sends and the mean number of what it hears are uncorrelated."""
    n, m = 301, 50
    c = drawn(connect, n, seed=8, weight=Uniform(0.0, 1.0), delay=Uniform(1.0, 3.0))
    mean = lambda end, value: np.bincount(end, value, n) / np.maximum(np.bincount(end, minlength=n), 1)  # noqa: E731
    sent = [mean(c.source, c.weight), mean(c.source, c.delay), mean(c.source, c.target)]
    heard = [mean(c.target, c.source), mean(c.target, c.weight)]
    r = np.corrcoef([*sent, *heard])[np.triu_indices(5, 1)]
    assert np.all(np.abs(r) < 4.5 / np.sqrt(n)), r.round(2)
    r = np.corrcoef([c.weight, c.delay, c.source, c.target, np.roll(c.weight, 1)])[np.triu_indices(5, 1)]
    assert np.all(np.abs(r) < 4.5 / np.sqrt(n * m)), r.round(4)


@pytest.fixture(scope="module")
def normals():
    """Four million standard normal numbers, as weights."""
    return drawn(AllToAll(), 2000, 2000, seed=11, weight=Normal(0.0, 1.0)).weight


CASES = {  # what snnsim draws, and scipy's name of it
    "normal": (Normal(-3.0, 0.7), stats.norm(-3.0, 0.7)),
    "above": (Normal(1.0, 2.0, low=0.0), stats.truncnorm(-0.5, np.inf, 1.0, 2.0)),
    "between": (Normal(1.0, 2.0, low=0.0, high=2.5), stats.truncnorm(-0.5, 0.75, 1.0, 2.0)),
    "far out": (Normal(0.0, 1.0, low=3.0), stats.truncnorm(3.0, np.inf)),
    "below": (Normal(0.0, 1.0, high=-2.9), stats.truncnorm(-np.inf, -2.9)),
    "log": (LogNormal(0.3, 0.8), stats.lognorm(0.8, scale=np.exp(0.3))),
    "uniform": (Uniform(-2.0, 5.0), stats.uniform(-2.0, 7.0)),
}


class TestDistributions:
    def test_the_ziggurat_layer_by_layer(self, normals):
        """Every layer's edge is the edge of a bin: a layer drawn too often, or cut wrongly, shows."""
        edge = ziggurat()[1][1:]
        bins = np.concatenate([[-np.inf], -edge[:-1], edge[::-1], [np.inf]])
        assert np.all(np.diff(bins) > 0) and len(bins) == 513
        assert fits_bins(np.histogram(normals, bins)[0], np.diff(stats.norm.cdf(bins)))

    def test_the_tail_beyond_the_ziggurat(self, normals):
        """Some thousand of four million draws lie beyond the last edge, where another method draws them."""
        edge = ziggurat()[1][1]
        assert edge == pytest.approx(3.6541528853610088)
        tail = np.abs(normals[np.abs(normals) > edge])
        assert stats.binomtest(len(tail), len(normals), 2 * stats.norm.sf(edge)).pvalue > P_VALUE
        assert stats.binomtest(int(np.sum(normals < -edge)), len(tail)).pvalue > P_VALUE
        assert stats.kstest(tail, stats.truncnorm(edge, np.inf).cdf).pvalue > P_VALUE
        assert stats.binomtest(int(np.sum(tail > 4.7)), len(normals), 2 * stats.norm.sf(4.7)).pvalue > P_VALUE
        assert tail.max() > 4.9

    def test_the_shape_of_the_tail(self):
        """Ten thousand draws beyond the last edge, out of a hundred million that were drawn again."""
        edge = ziggurat()[1][1]
        weight = drawn(AllToAll(), 300, 300, seed=16, weight=Normal(0.0, 1.0, low=3.08)).weight
        assert stats.kstest(weight, stats.truncnorm(3.08, np.inf).cdf).pvalue > P_VALUE
        tail, theory = weight[weight > edge], stats.truncnorm(edge, np.inf)
        assert stats.kstest(tail, theory.cdf).pvalue > P_VALUE
        z = (tail.mean() - theory.mean()) / theory.std() * np.sqrt(len(tail))
        assert len(tail) > 10_000 and abs(z) < 3.9

    def test_successive_draws_are_independent(self, normals):
        for lag in (1, 2, 3, 2000):
            for f in (np.asarray, np.abs, np.sign):
                x = f(normals)
                assert abs(np.corrcoef(x[:-lag], x[lag:])[0, 1]) < 4 / np.sqrt(len(x)), lag
        octants = 4 * (normals[0:-2:3] > 0) + 2 * (normals[1:-1:3] > 0) + (normals[2::3] > 0)
        assert fits_bins(np.bincount(octants, minlength=8), np.full(8, 1 / 8))

    @pytest.mark.parametrize("case", CASES)
    def test_weights(self, case):
        distribution, theory = CASES[case]
        weight = drawn(AllToAll(), 173, 231, seed=12, weight=distribution).weight
        assert stats.kstest(weight, theory.cdf).pvalue > P_VALUE
        assert distribution.low <= weight.min() and weight.max() <= distribution.high

    @pytest.mark.parametrize("case", CASES)
    def test_what_numpy_draws(self, case):
        distribution, theory = CASES[case]
        values = draw(distribution, np.random.default_rng(13), 40_001)
        assert values.shape == (40_001,) and values.dtype == np.float64
        assert stats.kstest(values, theory.cdf).pvalue > P_VALUE
        assert distribution.low <= values.min() and values.max() <= distribution.high
        assert draw(distribution, np.random.default_rng(13), 0).shape == (0,)

    def test_a_truncated_lognormal(self):
        """Between 0.5 and 2, where the logarithm is a truncated normal number."""
        distribution = LogNormal(0.3, 0.8, low=0.5, high=2.0)
        low, high = (np.log([0.5, 2.0]) - 0.3) / 0.8
        for values in (drawn(AllToAll(), 173, 231, seed=14, weight=distribution).weight,
                       draw(distribution, np.random.default_rng(14), 40_001)):
            assert values.min() >= 0.5 and values.max() <= 2.0
            assert stats.kstest(np.log(values), stats.truncnorm(low, high, 0.3, 0.8).cdf).pvalue > P_VALUE

    @pytest.mark.parametrize(("delay", "theory"), [
        (Normal(1.5, 0.75, 0.1, 6.3), stats.norm(1.5, 0.75)), (Uniform(0.1, 1.0), stats.uniform(0.1, 0.9)),
        (Uniform(0.24, 0.96), stats.uniform(0.24, 0.72)), (LogNormal(0.0, 0.5, 0.1, 2.02), stats.lognorm(0.5))],
        ids=["normal", "uniform", "narrow", "lognormal"])
    def test_delays_are_rounded_to_the_nearest_step(self, delay, theory):
        """The share of each step is the integral over its bin, as far as the bin lies between the bounds."""
        steps = drawn(AllToAll(), 300, 301, seed=15, delay=delay).delay
        low, high = steps.min(), steps.max()
        edges = np.clip((np.arange(low, high + 2) - 0.5) * DT, delay.low, delay.high)
        cdf = theory.cdf(edges)
        whole = theory.cdf(delay.high) - theory.cdf(delay.low)
        assert np.diff(cdf).sum() / whole > 0.999
        assert fits_bins(np.bincount(steps - low), np.diff(cdf) / whole)


def noise(*rates, seed=0, dt=DT):
    """A network of Poisson sources; rates: for each of them (neurons, rate), in counts of a step."""
    sources = [Population(f"p{i}", (n,), source=Poisson(np.asarray(mean) / (1e-3 * dt))) for i, (n, mean) in enumerate(rates)]
    neurons = [Population.of(f"n{i}", n, LI(), dt) for i, (n, _) in enumerate(rates)]
    joins = [Synapses(s.name, p.name, OneToOne(), delay=dt) for s, p in zip(sources, neurons, strict=True)]
    return Network((*neurons, *sources), synapses=joins, time=TimeBase(dt), seed=seed)


def words_and_counts(mean, neurons, steps, **changes):
    """The 32 random bits of each neuron and step, and the count that they became."""
    planner = Planner(Layout(noise((neurons, mean)), 1, "double"), None)
    fields = {**dict.fromkeys(EMITTER.names, 0), **planner.poisson(planner.network.population("p0")), "n": neurons,
              **changes}
    emitter = np.array([tuple(fields.values())], EMITTER)[0]
    random, count = np.empty((steps, BLOCK), np.uint32), np.empty((steps, neurons), np.float32)
    tables = Noise(planner.threshold.array(), planner.mean.array())
    for t in range(steps):
        count_steps(tables, emitter, t, 1, random[t], count[t: t + 1])
    return random[:, :neurons], count


MEANS = [1e-4, 0.01, 0.2, 1.0, 2.0, 3.7, 5.0, 12.8, 16.0, 30.0, 100.0, 333.3, 500.0]


class TestPoisson:
    @pytest.mark.parametrize("mean", [*MEANS, 700.0, 746.0, 1000.0, 10_000.0])
    def test_counts_of_one_rate(self, mean):
        sent = source_output(noise((1001, mean), seed=3), "p0", 300)
        assert fits(sent.ravel(), stats.poisson(mean))

    @pytest.mark.parametrize("mean", MEANS)
    def test_counts_of_a_rate_for_each(self, mean):
        """Half of the neurons have another rate, so that all are counted one by one."""
        mixed = np.where(np.arange(1001) % 2, mean, 0.5 * mean)
        sent = source_output(noise((1001, mixed), seed=4), "p0", 150)
        assert fits(sent[:, 1::2].ravel(), stats.poisson(mean)) and fits(sent[:, ::2].ravel(), stats.poisson(0.5 * mean))

    def test_rare_counts_too(self):
        """Of 20 million counts of mean 1e-4 a tenth of a spike comes with another in its step."""
        sent = source_output(noise((10_007, 1e-4), seed=5), "p0", 2000)
        assert fits(sent.ravel(), stats.poisson(1e-4))
        sent = source_output(noise((10_007, 0.02), seed=5), "p0", 1000)
        assert sent.max() >= 3 and fits(sent.ravel(), stats.poisson(0.02))

    @pytest.mark.parametrize("mean", [1e-3, 0.5, 2.0, 3.0, 4.5, 7.0, 20.0, 60.0, 250.0, 1000.0, 10_000.0])
    def test_a_window_of_thresholds_gives_what_all_of_them_give(self, mean):
        least, thresholds = poisson_thresholds(mean)
        first, end = window(thresholds)
        assert (end - first) % 8 == 0 and len(thresholds) % 8 == 0
        random, count = words_and_counts(mean, BLOCK - 1, 300)
        wanted = least + np.searchsorted(thresholds, random.ravel(), "left").reshape(random.shape)
        assert np.array_equal(count, wanted)
        outside = (wanted - least < first) | (wanted - least > end)
        assert outside.mean() < 1 / 100 and (outside.any() or mean < 20)

    @pytest.mark.parametrize("mean", [0.5, 3.0, 20.0, 60.0])
    def test_any_window_gives_the_same(self, mean):
        """So that the numbers outside are many: above it, below it, and on both sides."""
        least, thresholds = poisson_thresholds(mean)
        for first in (0, 1, 2, 9):
            for end in range(first + 8, len(thresholds) + 1, 8):
                random, count = words_and_counts(mean, 200, 20, window=first, window_end=end)
                wanted = least + np.searchsorted(thresholds, random.ravel(), "left").reshape(random.shape)
                assert np.array_equal(count, wanted), (first, end)

    @pytest.mark.parametrize("mean", [1e-4, 1.0, 40.0, 700.0, 735.0, 745.0, 746.0, 1000.0, 9999.5])
    def test_thresholds_are_the_cumulative_distribution(self, mean):
        least, thresholds = poisson_thresholds(mean)
        cdf = stats.poisson(mean).cdf(np.arange(least, least + len(thresholds)))
        assert np.abs((thresholds + 1.0) / 2**32 - cdf).max() < 1e-8
        assert stats.poisson(mean).cdf(least - 1) < 1e-9

    @pytest.mark.parametrize("mean", [0.0, 1e-11])
    def test_a_silent_source_stays_silent_beside_a_loud_one(self, mean):
        network = noise((9, 1.0), (9, mean), seed=6)
        simulation = Simulation(network, threads=1)
        simulation.run(10.0)
        assert simulation.state("n0", "v").all() and not simulation.state("n1", "v").any()

    def test_silent_neurons_among_others(self):
        sent = source_output(noise((100, np.arange(100) % 2), seed=7), "p0", 500)
        assert not sent[:, ::2].any() and sent[:, 1::2].any(0).all()

    def test_neurons_and_steps_are_independent(self):
        """Bits of probability 1/2 (mean log 2), shifted against themselves: each shift gives a standard normal number."""
        bits = source_output(noise((2048, np.log(2.0)), seed=9), "p0", 1024) > 0
        shifts = [(steps, n) for steps in (0, 1, 2, 3, 8, 64, 512) for n in (0, 1, -1, 2, 3, 7, 16, 128, -129, 1000)
                  if steps or n > 0]
        z = []
        for steps, n in shifts:
            a, b = bits[: len(bits) - steps], bits[steps:]
            a, b = (a[:, : a.shape[1] - n], b[:, n:]) if n >= 0 else (a[:, -n:], b[:, :n])
            z.append(2 * np.sqrt(a.size) * (np.mean(a != b) - 0.5))
        assert np.abs(z).max() < 4.5 and believable(np.square(z).sum(), len(z)), dict(zip(shifts, np.round(z, 2), strict=True))

    def test_no_pattern_in_neurons_or_steps(self):
        """Every wave and every Walsh function has the power of noise in the random bits, along neurons and along steps."""
        random, _ = words_and_counts(1.0, 1024, 1024)
        walsh = hadamard(1024).astype(np.float32)
        for bit in (31, 30, 29, 16):
            bits = 2.0 * (random >> np.uint32(bit) & np.uint32(1)).astype(np.float32) - 1.0
            for signs in (bits, bits.T):
                power = np.square(signs @ walsh).mean(0) / 1024  # of so many chi-squared numbers, variance 2 each
                waves = np.square(np.abs(np.fft.rfft(signs)[:, 1:-1])).mean(0) / 1024  # exponential numbers, variance 1
                for z in ((power - 1.0) * np.sqrt(512), (waves - 1.0) * np.sqrt(1024)):
                    assert np.abs(z).max() < 5.5 and believable(np.square(z).sum(), len(z))

    @pytest.mark.parametrize("each", [False, True])
    def test_sums_vary_as_much_as_they_should(self, each):
        """Over neurons and over steps: neighbours that knew of each other would make sums too wide or too narrow."""
        mean = np.full(2001, 1.7)
        mean[-1] += each
        sent = source_output(noise((2001, mean if each else 1.7), seed=10), "p0", 1500)[:, :-1]
        for axis in (0, 1):
            sums = sent.sum(axis)
            assert believable(((sums - sums.mean()) ** 2).sum() / (1.7 * sent.shape[axis]), len(sums) - 1)
        table = np.histogram2d(sent[:, :-1].ravel(), sent[:, 1:].ravel(), [0, 1, 2, 3, 4, 99])[0]
        assert P_VALUE < stats.chi2_contingency(table).pvalue < 1 - P_VALUE

    def test_sources_and_seeds_are_uncorrelated(self):
        one, two = (noise((500, 2.0), (500, 2.0), (500, np.linspace(1.9, 2.1, 500)), seed=s) for s in (20, 21))
        sent = [source_output(n, p.name, 400) for n in (one, two) for p in n.populations if p.source]
        for i, a in enumerate(sent):
            for b in sent[i + 1:]:
                for shift in (0, 1, -1, 250):
                    for axis in (0, 1):
                        r = np.corrcoef(a.ravel(), np.roll(b, shift, axis).ravel())[0, 1]
                        assert abs(r) < 4.5 / np.sqrt(a.size)

    @pytest.mark.parametrize("source", [
        Poisson(9000.0), Poisson(np.linspace(0.0, 90_000.0, 33)), SpikeTimes(np.arange(60) * 0.25, np.arange(60) % 33),
        StepCurrent([0.3, 2.0, 4.05], [1.0, -2.0, 3.0]), StepCurrent([0.3, 2.0], np.arange(66.0).reshape(2, 33))],
        ids=lambda s: type(s).__name__)
    def test_output_from_later_on_is_the_tail_of_the_output(self, source):
        p = Population("p", (33,), source=source)
        network = Network((Population.of("n", 33, LI(), DT), p), synapses=[Synapses("p", "n", OneToOne())], time=TimeBase(DT))
        whole = source_output(network, "p", 80)
        for start in (1, 37, 79):
            assert np.array_equal(source_output(network, "p", 80 - start, start), whole[start:])
        assert whole.any()

    @pytest.mark.parametrize("precision", ["double", "single", "packed"])
    @pytest.mark.parametrize("threads", [1, 2, 5])
    @pytest.mark.parametrize(("n", "mean"), [(1, 2.0), (33, 0.3), (BLOCK + 1, 20.0), (2500, None)])
    def test_all_that_hear_a_source_hear_the_same(self, n, mean, threads, precision):
        """One to one, the counts are drawn where they arrive; by rows, they are drawn once and sent."""
        mean = np.linspace(0.0, 6.0, n) if mean is None else mean
        populations = (Population("k", (n,), KEEP), Population("p", (n,), source=Poisson(np.asarray(mean) * 1e4)))
        two = np.arange(n) % 2 + 1.0
        synapses = (Synapses("p", "k", OneToOne(), 1.0, 0.3),
                    Synapses("p", "k", Pairs(np.arange(n), np.arange(n)), two, 0.2, "y"))
        network = Network(populations, synapses=synapses, time=TimeBase(DT), seed=3)
        states = []
        for state in "ab":
            simulation = Simulation(network, threads=threads, precision=precision, traces={"k": (state, range(n))})
            states.append(simulation.run(4.0).traces["k"].values)
        sent = source_output(network, "p", 40)
        assert not states[0][:3].any() and not states[1][:2].any()
        np.testing.assert_array_equal(states[0][3:], sent[:-3])
        # a unit of packed weights is 2 / 32767, so that 1 is not a multiple of it
        np.testing.assert_allclose(states[1][2:], sent[:-2] * two, rtol=1e-4 if precision == "packed" else 0)

    def test_counts_do_not_depend_on_the_precision(self):
        n = 1000
        populations = (Population("k", (n,), KEEP), Population("p", (n,), source=Poisson(np.linspace(1e5, 1e6, n))))
        network = Network(populations, synapses=[Synapses("p", "k", OneToOne(), 1.0, DT)], time=TimeBase(DT))
        kept = Simulation(network, threads=2, traces={"k": ("a", range(n))}).run(200.0).traces["k"].values
        np.testing.assert_array_equal(kept[1:], source_output(network, "p", 1999))


def several(n=40, **changes):
    """Populations with one and two receptors, joined by every rule, weights and delays in every form."""
    populations = (Population.of("A", n, IF(), DT), Population("B", (2 * n + 3,), KEEP_FIRES),
                   Population("C", (1,), KEEP_FIRES), Population("p", (n // 2,), source=Poisson(100.0)))
    rng = np.random.default_rng(0)
    rise = Normal(0.6, 0.3, 0.1, 1.2)
    synapses = (
        Synapses("A", "A", FixedIndegree(7, self_connections=False), Normal(1.0, 0.3), rise),
        Synapses("A", "B", FixedTotal(500), Normal(-2.0, 0.5, high=0.0), Uniform(0.1, 0.5), "y"),
        Synapses("A", "B", Bernoulli(0.3), 0.25, rise, "x"), Synapses("A", "C", AllToAll(), Uniform(1.0, 2.0), 0.3, "y"),
        Synapses("B", "A", FixedOutdegree(5, multiple=False), LogNormal(0.0, 0.5), 0.1),
        Synapses("B", "B", Pairs(rng.integers(0, 2 * n + 3, 300), rng.integers(0, 2 * n + 3, 300)), rng.normal(size=300),
                 rng.integers(1, 9, 300) * DT, "x"),
        Synapses("C", "B", AllToAll(), rng.normal(size=(2 * n + 3, 1)), 0.2, "y"),
        Synapses("p", "A", FixedTotal(60, multiple=False), 3.0, rise), Synapses("p", "C", AllToAll(), 1.5, 0.1, "x"))
    return Network(populations, synapses=synapses, time=TimeBase(DT), seed=17, **changes)


def _fires(a: float, b: float) -> float:
    return a + b - 1.0


def _clear(a: float, b: float, s: float) -> tuple[float, float]:
    return a, b


KEEP_FIRES = Rule("keep_fires", _keep, _fires, _clear, inputs=("x", "y"))


def listed(layout, rows):
    """What the rows hold, as numbers: sender, population, receptor, target, delay, and the weight; in the order of the rows."""
    found = []
    for g in layout.segments:
        size, at = g.high - g.low, g.at
        for receptor in range(len(layout.receptors[g.population])):
            for column, delay in enumerate(layout.delays):
                key = g.part * layout.key_part + column * layout.key_column
                for sender, ends in enumerate(rows.segment[:, key: key + 2].astype(np.int64).tolist()):
                    e = np.arange(*ends)
                    code = rows.packed[e] & 0xFFFF if rows.kind == PACKED else rows.target[e]
                    e, code = e[(code >= at) & (code < at + size)], code[(code >= at) & (code < at + size)].astype(np.int64)
                    weight = (rows.packed[e] >> 16 if rows.kind == PACKED else rows.weight[e] if rows.kind == FULL
                              else np.full(len(e), rows.weight[sender]))
                    found += [(sender, g.population, receptor, c - at + g.low, int(delay), float(w))
                              for c, w in zip(code, weight, strict=True)]
            at += size
    return sorted(found, key=lambda f: f[:5])  # stable: synapses of one pair and delay stay in the order of drawing


def announced(layout):
    """The same from `connections`."""
    found = []
    for s in layout.wired:
        c = connections(layout.network, s)
        sender = [p.name for p in layout.senders].index(s.source)
        population = [p.name for p in layout.ruled].index(s.target)
        receptor = layout.receptors[population].index(s.receptor)
        found += [(int(layout.first_sender[sender]) + i, population, receptor, j, d, w) for i, j, d, w in zip(
            c.source.tolist(), c.target.tolist(), c.delay.tolist(), c.weight.tolist(), strict=True)]
    return sorted(found, key=lambda f: f[:5])


@pytest.mark.usefixtures("most_shared")
class TestRows:
    @pytest.mark.parametrize("threads", [1, 2, 5])
    @pytest.mark.parametrize("precision", ["double", "single", "packed"])
    def test_rows_hold_the_synapses_for_any_number_of_threads(self, threads, precision):
        layout = Layout(several(), threads, precision)
        rows = build(layout, threads)
        assert len(layout.bound) == threads + 1 and rows.kind == (PACKED if precision == "packed" else FULL)
        found, wanted = listed(layout, rows), announced(layout)
        assert [f[:5] for f in found] == [w[:5] for w in wanted] and rows.synapses == len(wanted)
        weights, exact = np.array([f[5] for f in found]), np.array([w[5] for w in wanted])
        if precision == "packed":
            ends = [(layout.ruled[f[1]].name, layout.receptors[f[1]][f[2]]) for f in found]
            unit = np.array([1 / layout.scales()[end] for end in ends])
            error = np.abs(weights * unit - exact) / unit
            assert error.max() <= 0.5 + 1e-9 and np.abs(weights).max() <= LARGEST
        else:
            np.testing.assert_array_equal(weights, exact.astype(layout.dtype))

    def test_one_weight_a_row_needs_no_weights(self):
        s = (Synapses("A", "A", FixedIndegree(3), 0.25, Uniform(0.1, 0.9)), Synapses("A", "B", FixedTotal(200), 0.25, 0.4),
             Synapses("B", "A", Bernoulli(0.3), -1.0, 0.2))
        layout = Layout(Network(several().populations, synapses=s, time=TimeBase(DT)), 2, "packed")
        rows = build(layout, 2)
        assert rows.kind == ROW and listed(layout, rows) == announced(layout)
        assert rows.weight.size == layout.first_sender[-1] and not rows.packed.size

    def test_targets_of_two_receptors_need_more_parts_than_threads(self):
        """70,000 inputs of 35,000 neurons do not fit into 16 bits, so that even one thread has two parts."""
        n = 35_000
        target = np.array([0, n // 2 - 1, n // 2, n - 1] * 2)
        s = [Synapses("a", "k", Pairs(np.zeros(8, int), target), np.arange(8.0), 0.1, r) for r in "xy"]
        network = Network((Population("k", (n,), KEEP), Population("a", (1,), source=SpikeTimes([0.0]))), synapses=s,
                          time=TimeBase(DT))
        wanted = sorted((n, 0, r, j, 1, w) for r in (0, 1) for j, w in zip(target.tolist(), np.arange(8.0), strict=True))
        for threads, parts in ((1, 2), (2, 2), (3, 3)):
            layout = Layout(network, threads, "single")
            assert len(layout.bound) - 1 == parts
            assert sorted(listed(layout, build(layout, threads))) == wanted

    @pytest.mark.parametrize("precision", ["double", "single", "packed"])
    def test_what_arrives_is_the_sum_of_what_was_sent(self, precision):
        """Every synapse of the network is used once, in steps that lie further apart than the longest delay."""
        network = several()
        given = Population("a", (40,), source=SpikeTimes(np.arange(40) * 2.0, np.arange(40)))
        s = (Synapses("a", "B", FixedTotal(900), Normal(1.0, 0.3), Uniform(0.1, 1.5)),
             Synapses("a", "B", Bernoulli(0.3), Normal(-1.0, 0.3), Uniform(0.1, 1.5), "y"))
        network = Network((network.population("B"), given), synapses=s, time=TimeBase(DT), seed=2)
        for state, q in zip("ab", s, strict=True):
            c = connections(network, q)
            wanted = np.zeros((800, 83))
            np.add.at(wanted, (20 * c.source + c.delay, c.target), c.weight)
            kept = Simulation(network, threads=3, precision=precision, traces={"B": (state, range(83))}).run(80.0)
            tolerance = {"double": 1e-14, "single": 1e-6, "packed": 4 * 0.5 / LARGEST * 3.1}[precision]
            np.testing.assert_allclose(kept.traces["B"].values, wanted, rtol=0, atol=tolerance)

    def test_sums_of_two_sources_do_not_depend_on_threads(self):
        populations = (Population.of("n", 64, LI(tau=20.0), DT), *(Population(p, (40,), source=Poisson(500.0)) for p in "pq"))
        network = Network(populations, synapses=[Synapses(p, "n", Bernoulli(0.5), Normal(0.0, 1.0), Uniform(0.1, 1.0))
                                                 for p in "pq"], time=TimeBase(DT))
        one, *more = (Simulation(network, threads=k, traces={"n": ("v", range(64))}).run(50.0) for k in (1, 2, 3))
        for other in more:
            np.testing.assert_array_equal(other.traces["n"].values, one.traces["n"].values)

    @pytest.mark.parametrize("times", [8, 20])
    def test_sums_of_packed_weights_stay_within_32_bits(self, times):
        """65,538 additions of the largest weight fit into a step; given spikes that stand several times come on top."""
        assert (2**31 - 1) // LARGEST == 65_538
        n = 8000
        given = SpikeTimes(np.zeros(times * n), np.repeat(np.arange(n), times))
        populations = (Population("k", (1,), KEEP), Population("a", (n,), source=given))
        s = Synapses("a", "k", AllToAll(), np.full((1, n), 2.5), DT)
        simulation = Simulation(Network(populations, synapses=[s], time=TimeBase(DT)), threads=1, precision="packed")
        simulation.run(0.2)
        assert simulation.state("k", "a")[0] == pytest.approx(2.5 * times * n, rel=1e-3)
