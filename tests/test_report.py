"""The report: one file with everything inside, right numbers, nothing loaded from elsewhere."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from snnsim import engine, hardware
from snnsim.datasets import EventDataset
from snnsim.hardware import energy, integer, mapping
from snnsim.hardware.energy import Range
from snnsim.hardware.loihi import check, process
from snnsim.hardware.loihi.check import LoihiReport
from snnsim.maps import Dense, weighing
from snnsim.network import Population, Projection
from snnsim.neurons import LIF
from snnsim.report import simulate, write_report
from tests.test_plot import history, recording, report, small_network

HEADINGS = ["What the camera saw", "Populations and projections", "Loss, accuracy and firing by epoch", "Who fired when",
            "How neurons of second came to fire", "How the answer formed", "What was taken for what", "Spikes of each layer",
            "Spikes equal, layer by layer"]


class Page(HTMLParser):
    """Every reference and every picture of a page; a tag that is never closed is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag not in ("meta", "img", "br", "link", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def samples() -> EventDataset:
    return EventDataset.of([recording(i) for i in range(12)], tuple("0123456789"), "clouds")


@pytest.fixture(scope="module")
def written(samples: EventDataset, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    network = small_network()
    export = hardware.nir.export(network, folder / "net.nir")
    write_report(folder / "report.html", network=network, samples=samples, history=history(), export=export,
                 match=hardware.verify(folder / "net.nir", network, samples), title="A <b>title</b>",
                 summary="What was done.", commands=["snnsim demo", "snnsim verify a b"], facts=[("seed", "7")])
    assert [p.name for p in sorted(folder.iterdir())] == ["net.nir", "report.html"]
    return (folder / "report.html").read_text(encoding="utf-8")


def test_it_loads_nothing(written):
    page = Page(written)
    assert all(r.startswith(("#", "data:image/svg+xml;base64,")) for r in page.references)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert not re.search(r"@import|url\(", written)


def test_every_picture_is_there_and_drawn(written):
    assert re.findall(r"<figure>\s*<h3>(.*?)</h3>", written) == HEADINGS
    assert written.count("<img src=\"data:image/svg+xml;base64,") == len(HEADINGS)
    assert all(len(data) > 5000 for data in re.findall(r"base64,([^\"]*)", written))


def test_its_links_lead_somewhere(written):
    targets = re.findall(r'href="#(\w+)"', written)
    assert targets and all(f'id="{t}"' in written for t in targets)


def test_what_was_given_is_escaped_and_shown(written):
    assert "A &lt;b&gt;title&lt;/b&gt;" in written and "<b>title</b>" not in written
    for text in ("What was done.", "snnsim demo\nsnnsim verify a b", "<th>seed</th><td>7</td>", "chosen epoch", "3 of 3",
                 "Every spike and every prediction is equal: net.nir does what the network did.",
                 "Nothing: the format holds all that the network computes.", "input-&gt;first", "snnsim 0."):
        assert text in written


def test_its_numbers_are_those_of_the_simulation(written, samples):
    done = simulate(small_network(), samples)
    assert f"<b>{done.accuracy:.1%}</b><span>{done.correct} of 12 samples right</span>" in written
    assert f"<b>{sum(done.synaptic.values()) / 12:,.0f}</b>" in written


@pytest.fixture(scope="module")
def loihi(samples: EventDataset, tmp_path_factory: pytest.TempPathFactory) -> LoihiReport:
    path, network = tmp_path_factory.mktemp("loihi") / "net.json", small_network("soft")
    model = integer.quantize(network)
    process.write(model, path)
    return check.check(path, model, network, samples, [int(x) for x in samples.labels])


def test_an_export_in_whole_numbers_is_shown_with_what_it_costs(loihi, samples, tmp_path):
    assert loihi.exact and loihi.samples == 12 and loihi.bits == 8 and 0 < loihi.quantised.share < 1 and not loihi.overflows
    floats, whole = engine.run(small_network("soft"), [r.events for r in samples]), integer.run(loihi.model, [
        r.events for r in samples])
    assert loihi.before == np.mean(floats.prediction == samples.labels)
    assert loihi.after == np.mean(whole.prediction == samples.labels)
    assert [x.found for x in loihi.reread] == [int(s.sum()) for s in whole.spikes.values()]
    assert loihi.cost.to_dict() == energy.estimate(loihi.model, [r.events for r in samples], loihi.placed).to_dict()
    write_report(tmp_path / "r.html", network=small_network("soft"), samples=samples, loihi=loihi)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert Page(text).tags.count("img") == len(HEADINGS) - 1 and "Spikes that rounding keeps" in text
    error = loihi.model.report["first->second"]["error"]
    low, high = loihi.cost["Loihi 1"].total
    for said in ("the file, read back, runs as what was exported", "net.json, run in", "process model of ours",
                 f"{loihi.predictions_equal} of 12 predictions are the same", f"<td class=\"n\">{error:.2%}</td>",
                 f"{Range(low / 1e6, high / 1e6)}", "nothing was measured on a chip",
                 f"accuracy in whole numbers of 8 bits</span><b>{loihi.after:.1%}</b>",
                 mapping.NO_PROMISE.replace("'", "&#39;")):
        assert said in text


def test_a_file_that_does_not_run_as_what_was_exported_is_not_hidden(loihi, samples, tmp_path):
    process.write(integer.quantize(small_network("soft"), thresholds={"first": 1.5}), tmp_path / "net.json")
    found = check.check(tmp_path / "net.json", loihi.model, small_network("soft"), samples)
    assert not found.exact and found.before is None
    write_report(tmp_path / "r.html", network=small_network("soft"), samples=samples, loihi=found)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Spikes differ: the file" in text and "of spikes</b>" in text and f"{found.reread[0].share:.4%}" in text
    other = replace(small_network("soft"), populations=(*small_network().populations[:2], Population.of(
        "second", (21,), LIF(), 10.0, np.float32), small_network().populations[3]), projections=(
        small_network().projections[0], Projection("first", "second", (Dense(np.ones((21, 256), "f")),)),
        Projection("second", "out", (Dense(np.ones((10, 21), "f")),))))
    turned = replace(small_network("soft"), projections=tuple(
        replace(q, maps=(*q.maps[:-1], weighing(q.maps[-1], -q.maps[-1].weight))) if q.target == "second" else q
        for q in small_network("soft").projections))
    for changed, said in ((small_network("hard"), "resets population 'first' soft, the network hard"),
                          (turned, "has other weights in first->second than the network")):
        with pytest.raises(ValueError, match=f"net.json {said}: it is an export of another network"):
            check.check(tmp_path / "net.json", loihi.model, changed, samples)
    with pytest.raises(ValueError, match=r"net.json holds the populations .*'second': \(20,\).*an export of another network"):
        check.check(tmp_path / "net.json", loihi.model, other, samples)


def test_a_difference_is_not_hidden(samples, tmp_path):
    write_report(tmp_path / "r.html", network=small_network("soft"), samples=samples, match=report(missing=40))
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "60.0000 % of the spikes are equal" in text and "a loss" in text and "a time base" in text


def test_it_is_written_without_training_and_export_too(samples, tmp_path):
    write_report(tmp_path / "r.html", network=small_network(), samples=samples)
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert page.tags.count("img") == len(HEADINGS) - 2


def test_a_recurrent_layer_is_drawn_counted_and_warned_of(samples, tmp_path):
    """The loop takes two steps, for which NIR needs a Delay node, of which the report warns."""
    plain = small_network()
    weight = np.random.default_rng(0).normal(-0.05, 0.2, (20, 20)).astype(np.float32)
    network = replace(plain, projections=(*plain.projections, Projection("second", "second", (Dense(weight),), delay=2)))
    export, done = hardware.nir.export(network, tmp_path / "net.nir"), simulate(network, samples)
    sent = engine.run(network, [r.events for r in samples], record=["second"]).spikes["second"].dense()[:-2].sum()
    assert done.synaptic["second->second"] == 20 * sent > 0  # spikes of the last two steps arrive nowhere
    assert not np.array_equal(done.counts["second"], simulate(plain, samples).counts["second"])
    match = hardware.verify(tmp_path / "net.nir", network, samples)
    assert match.exact
    write_report(tmp_path / "r.html", network=network, samples=samples, simulation=done, export=export, match=match)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert Page(text).tags.count("img") == len(HEADINGS) - 1
    assert "second-&gt;second" in text and "projection second-&gt;second has a delay: a Delay node" in text


def test_a_report_that_fails_leaves_the_old_one(samples, tmp_path):
    path: Path = tmp_path / "r.html"
    path.write_text("old")
    with pytest.raises(ValueError, match="there is no sample to simulate"):
        write_report(path, network=small_network(), samples=samples[:0])
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_samples_of_another_sensor_are_refused(samples):
    from snnsim.maps import Dense
    from snnsim.network import Network, Population, Projection
    from snnsim.neurons import LI

    other = Network((Population("in", (2, 4, 4)), Population.of("out", (2,), LI(), 1.0)),
                    (Projection("in", "out", (Dense(np.ones((2, 32))),)),))
    with pytest.raises(ValueError, match=r"shape \(2, 34, 34\) .* the network's input has \(2, 4, 4\)"):
        simulate(other, samples)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("mode", ["event", "clock"])
def test_a_simulation_does_not_depend_on_how_it_is_run(mode, threads, samples):
    reference, other = simulate(small_network(), samples), simulate(small_network(), samples, mode=mode, threads=threads)
    assert np.array_equal(reference.predictions, other.predictions)
    assert all(np.array_equal(reference.counts[k], other.counts[k]) for k in reference.counts)
    assert reference.synaptic == other.synaptic
    assert reference.confusion(10).sum() == 12 and reference.labelled


def test_a_sample_does_not_run_longer_because_of_its_neighbour(samples):
    from dataclasses import replace

    from snnsim.network import TimeBase

    free = replace(small_network(), time=TimeBase(dt=10.0))
    together = simulate(free, samples)
    alone = [simulate(free, [samples[i]]).predictions[0] for i in range(len(samples))]
    assert together.predictions.tolist() == alone
