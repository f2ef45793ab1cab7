"""Verilog of SFQ networks, by tables and cell by cell: run in iverilog, every spike of every layer is the model's."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from snnsim import load_network, save_network
from snnsim.cli.app import app
from snnsim.hardware.energy import Range
from snnsim.hardware.sfq import Delays, SFQLayer, SFQNetwork, export, of_network, slotted
from snnsim.hardware.sfq.bench import bench as bench_of
from snnsim.hardware.sfq.build import build
from snnsim.hardware.sfq.export import read
from snnsim.hardware.sfq.library import load
from snnsim.hardware.sfq.plan import plan
from snnsim.hardware.sfq.statistics import statistics
from snnsim.hardware.sfq.structural import cells, clears, structural
from snnsim.hardware.sfq.verilog import table
from snnsim.interop import prove
from snnsim.interop.iverilog_tool import run_iverilog
from snnsim.network import TimeBase
from tests.sfq_cell_nets import random_counts, random_net
from tests.sfq_nets import stepped_each as step

LIBRARY = load()
AT_ONCE = Delays(0.0, 0.0, 0.0, 0.0)  # tables have no trees
needs_iverilog = pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not installed (apt install iverilog)")
needs_verilator = pytest.mark.skipif(shutil.which("verilator") is None, reason="verilator is not installed")


def by_table(net: SFQNetwork, counts: Any, name: str) -> tuple[str, str]:
    p = slotted(net, settle=8, hold=8, delays=AT_ONCE)
    return table(net, p, name), bench_of(net, p, counts, step(net, counts), name)


def by_cells(net: SFQNetwork, counts: Any, name: str) -> tuple[str, str]:
    made = build(net, LIBRARY)
    return structural(made, name), bench_of(net, made.plan.schedule, counts, step(net, counts), name, clears=clears(made))


@pytest.mark.parametrize(("options", "said"), [
    ({}, r"tick of layer 'a' must be whole ps, at least 1, got 28\.63"),
    ({"settle": 20, "hold": 0.5}, r"hold must be whole ps, at least 0, got 0\.5"),
    ({"settle": 20, "spacing": 8.0}, r"spacing must be whole ps, at least 2, got 8\.0"),
    ({"settle": 20, "order": [[1, 0]]}, "slots of layer 'a' must follow each other in the order of its sources")])
def test_a_schedule_that_verilog_cannot_hold(options: Any, said: str) -> None:
    net = SFQNetwork([SFQLayer("a", [[1, 2]], 1)])
    schedule = slotted(net, **options, delays=Delays(1.0, 1.0, 3.63, 5.0))
    for write in (lambda: table(net, schedule), lambda: bench_of(net, schedule, [[[1, 1]]], {})):
        with pytest.raises(ValueError, match=said):
            write()


@needs_iverilog
def test_fifty_networks_by_tables() -> None:
    rng = np.random.default_rng(1)
    nets = [random_net(rng) for _ in range(50)]
    texts = [t for k, n in enumerate(nets) for t in by_table(n, random_counts(rng, n, 12, 3), f"n{k}")]
    found = run_iverilog(texts, [f"n{k}_tb" for k in range(50)])
    assert found.exact and len(found.layers) == 50
    assert [len(found.layers[f"n{k}"]) for k in range(50)] == [len(n.layers) for n in nets]
    assert sum(x.equal for layers in found.layers.values() for x in layers) > 1000


@needs_iverilog
def test_fifty_networks_cell_by_cell() -> None:
    rng = np.random.default_rng(3)
    nets = [random_net(rng, 3, (1, 2, 3)) for _ in range(50)]
    texts = [cells(LIBRARY)]
    texts += [t for k, n in enumerate(nets) for t in by_cells(n, random_counts(rng, n, 7, 1), f"n{k}")]
    found = run_iverilog(texts, [f"n{k}_tb" for k in range(50)])
    assert found.exact, found.violations
    assert len(found.layers) == 50 and sum(x.equal for layers in found.layers.values() for x in layers) > 100


@needs_iverilog
@pytest.mark.parametrize("make", [by_table, by_cells])
def test_a_weight_that_is_off_by_one_is_found(make: Any) -> None:
    """The testbench's expectation is of another network: it must say so, layer by layer."""
    net = SFQNetwork([SFQLayer("a", [[1, 1], [1, -1]], 3), SFQLayer("b", [[1, 1]], 1)])
    other = SFQNetwork([SFQLayer("a", [[1, 2], [1, -1]], 3), net.layers[1]])
    counts = np.ones((6, 1, 2), int)
    design, _ = make(net, counts, "n")
    _, bench = make(other, counts, "n")
    found = run_iverilog([cells(LIBRARY), design, bench], ["n_tb"])
    assert not found.exact
    assert [(x.expected, x.found, x.equal) for x in found.layers["n"]] == [
        (int(step(other, counts)[q].sum()), int(step(net, counts)[q].sum()),
         int((step(other, counts)[q] & step(net, counts)[q]).sum())) for q in ("a", "b")]


@needs_iverilog
def test_pulses_that_meet_are_said() -> None:
    text = """`timescale 1ps/10fs
module m_tb; reg a, b; wire q; integer n;
  sfq_merger m (.a(a), .b(b), .q(q));
  always @(posedge q) n = n + 1;
  initial begin n = 0; a = 0; b = 0; #100 a = 1; #1 a = 0; #2 b = 1; #1 b = 0; #50;
    $display("RESULT m 0 2 %0d 0", n); $display("RESULT m twice 0 0 0"); end
endmodule
"""
    found = run_iverilog([cells(LIBRARY), text], ["m_tb"])
    assert found.layers["m"][0].found == 1 and len(found.violations) == 1
    assert found.violations[0].startswith("VIOLATION m_tb.m: pulses on b and a too close at 1")


@needs_iverilog
def test_what_iverilog_refuses_and_what_takes_too_long() -> None:
    with pytest.raises(RuntimeError, match="iverilog refuses the design: .*syntax error"):
        run_iverilog(["module m_tb; garbage garbage endmodule"], ["m_tb"])
    with pytest.raises(TimeoutError, match="vvp did not finish within 1 s"):
        run_iverilog(["module m_tb; reg a; initial begin a = 0; forever #1 a = ~a; end endmodule"], ["m_tb"], timeout=1.0)
    with pytest.raises(RuntimeError, match="iverilog ran, but m_tb printed no result: 'hello"):
        run_iverilog(['module m_tb; initial $display("hello"); endmodule'], ["m_tb"])


def test_iverilog_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ImportError, match="iverilog is not on the path: it is a package of most Linux distributions"):
        run_iverilog(["module m_tb; endmodule"], ["m_tb"])


@needs_verilator
def test_verilator_finds_nothing(tmp_path: Path) -> None:
    net = SFQNetwork([SFQLayer("a", [[1, -2]], 1, 2), SFQLayer("b", [[1]], 1, None, "hard")], burst=2)
    counts = np.ones((2, 2, 2), int)
    whole = by_cells(net, counts, "s")
    for name, texts in (("t", by_table(net, counts, "t")), ("s", (cells(LIBRARY) + whole[0], whole[1]))):
        for i, text in enumerate(texts):
            (tmp_path / f"{name}{i}.v").write_text(text, encoding="ascii")
        done = subprocess.run(["verilator", "--lint-only", "-Wall", "--timing", "--top-module", f"{name}_tb", f"{name}0.v",
                               f"{name}1.v"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[:2000]


@pytest.mark.parametrize("name", ["", "1a", "a b", "a;b", "a" * 65, "ä"])
def test_a_name_that_is_no_identifier(name: str) -> None:
    net = SFQNetwork([SFQLayer("a", [[1]])])
    with pytest.raises(ValueError, match="name must be letters, digits and _, at most 64, not first a digit"):
        table(net, slotted(net, settle=20), name)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of floats, as it is trained, in a file."""
    folder = tmp_path_factory.mktemp("sfq")
    rng = np.random.default_rng(7)
    net = SFQNetwork([SFQLayer("hidden", rng.integers(-2, 3, (6, 12)), 2, 2), SFQLayer("out", rng.integers(-1, 2, (3, 6)), 1)],
                     TimeBase(steps=12), classes=("a", "b", "c"))
    save_network(net.network(), folder / "net.h5")
    return folder


def snnsim(*arguments: Any, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result.output


def test_all_that_is_estimated_is_printed_and_in_the_description(exported: Path) -> None:
    artefact = exported / "told.json"
    said = " ".join(snnsim("export", exported / "net.h5", artefact, "--to", "sfq", "--form", "table").split())
    told = json.loads(artefact.read_text(encoding="utf-8"))["statistics"]
    assert f"{sum(told['cells'].values()):,} cells, {told['junctions']:,} junctions ({told['composite']:,} of them in" in said
    assert f"{told['synapses']:,} synapses, bias {told['bias']:,.0f} mA, area {told['area'][0]:.3g} .. " in said
    assert all(f"{n:,} {k}" in said for k, n in told["cells"].items())
    assert f"period {told['period']:,} ps ({told['clock']:.3g} GHz), latency {told['latency']:,} ps; 12 ticks take" in said
    assert told["ticks"] == 12 and told["inference"] == 11 * told["period"] + told["latency"]
    assert list(told["energy"]) == ["dynamic", "static (RSFQ)", "RSFQ", "ERSFQ", "RSFQ, cooled", "ERSFQ, cooled"]
    assert all(f" {k}: {Range(low / 1e6, high / 1e6)} pJ an inference" in said for k, (low, high) in told["energy"].items())
    assert len(told["assumptions"]) == 5 and all(f"assumed: {a}" in said for a in told["assumptions"])
    assert told["units"].keys() <= told.keys() and told["units"]["energy"] == "aJ"


def test_energy_of_samples_is_that_of_what_they_send(exported: Path) -> None:
    net = of_network(load_network(exported / "net.h5"))
    x = np.random.default_rng(3).integers(0, 2, (12, 4, 12))
    found, wide = export(net, exported / "samples.json", form="table", counts=x), export(net, exported / "random.json")
    low, high = found.energy["dynamic"]
    assert wide.energy["dynamic"].low < low == high < wide.energy["dynamic"].high and wide.ticks == found.ticks == 12
    sent = [x.sum(0).mean(0), step(net, x)["hidden"].sum(0).mean(0)]
    assert low == statistics(plan(net, LIBRARY), ticks=12, pulses=sent).energy["dynamic"].low
    assert found.assumptions[-1].endswith("in the mean of the samples given")


def by_hand(folder: Path, name: str) -> str:
    """As docs/sfq-cells.md says it."""
    for command in (["iverilog", "-g2005", "-s", f"{name}_tb", "-o", name, f"{name}.v", f"{name}_tb.v", "cells.v"],
                    ["vvp", "-n", name]):
        said = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True).stdout
    return said


@needs_iverilog
@pytest.mark.parametrize("form", ["table", "cells"])
def test_what_is_exported_is_verified(exported: Path, form: str) -> None:
    name = f"as_{form}"
    artefact = exported / f"{name}.json"
    said = snnsim("export", exported / "net.h5", artefact, "--to", "sfq", "--level", "cells", "--form", form)
    assert f"{name}_tb.v" in said
    assert f"next: snnsim verify {artefact} --against {exported / 'net.h5'}" in said.replace("\n", "")
    assert {p.name for p in exported.iterdir()} >= {f"{name}.v", f"{name}_tb.v", "cells.v", f"{name}.json"}
    found = json.loads(snnsim("verify", artefact, "--against", exported / "net.h5", "--limit", 3, "--json"))
    assert found["exact"] and found["kind"] == "sfq" and found["predictions_equal"] == found["samples"]
    runs = {r["tool"]: r["report"] for r in found["runs"]}
    assert runs["iverilog"]["exact"] and [x["name"] for x in runs["iverilog"]["layers"]] == ["hidden", "out"]
    assert runs["iverilog"]["layers"] == runs["snnsim, pulse by pulse"]["layers"]
    # the testbench that was written runs by itself, and says of one spike more or less that it fails
    texts = [(exported / n).read_text(encoding="ascii") for n in ("cells.v", f"{name}.v", f"{name}_tb.v")]
    assert run_iverilog(texts, [f"{name}_tb"]).exact
    assert by_hand(exported, name).splitlines()[-1] == f"PASS {name}"
    bench = exported / f"{name}_tb.v"
    for stage, size in ((0, 6), (1, 3)):
        row, value = re.findall(rf"want{stage}\[(\d+)\] = {size}'h(\w+);", texts[2])[4]
        damaged = f"want{stage}[{row}] = {size}'h{int(value, 16) ^ 1 << stage:x};"
        bench.write_text(texts[2].replace(f"want{stage}[{row}] = {size}'h{value};", damaged), encoding="ascii")
        assert by_hand(exported, name).splitlines()[-1] == f"FAIL {name}"
    bench.write_text(texts[2], encoding="ascii")
    told = read(artefact)
    assert told.form == form and np.array_equal(told.network.layers[0].weight, of_network(
        load_network(exported / "net.h5")).layers[0].weight)


@needs_iverilog
def test_pulses_that_meet_are_no_exact_run(exported: Path) -> None:
    """Counters that are slower than the netlist was made for count all the same in Verilog: the run is not exact for that."""
    artefact = exported / "slow.json"
    snnsim("export", exported / "net.h5", artefact, "--to", "sfq", "--form", "cells")
    cell = exported / "cells.v"
    text = cell.read_text(encoding="ascii")
    at = text.index("module sfq_counter")
    end = text.index("endmodule", at)
    cell.write_text(text[:at] + text[at:end].replace("< 5.85", "< 8.90") + text[end:], encoding="ascii")
    said = snnsim("verify", artefact, "--against", exported / "net.h5", "--limit", 1, code=1)
    cell.write_text(text, encoding="ascii")
    assert "equal, but with faults" in said and "VIOLATION slow_tb.dut.counter_" in said.replace("\n", "")


@needs_iverilog
def test_verilog_that_was_changed_is_found(exported: Path) -> None:
    artefact = exported / "bad.json"
    snnsim("export", exported / "net.h5", artefact, "--to", "sfq", "--form", "table")
    text = (exported / "bad.v").read_text(encoding="ascii")
    (exported / "bad.v").write_text(text.replace("h >= theta[j]", "h > theta[j]").replace("h < theta[j]", "h <= theta[j]"))
    said = snnsim("verify", artefact, "--against", exported / "net.h5", "--limit", 2, code=1)
    assert "NOT equal" in said
    (exported / "bad.v").unlink()
    said = snnsim("verify", artefact, "--against", exported / "net.h5", "--limit", 2)
    assert "iverilog: not run; there is no file" in said.replace("\n", "")


def test_what_export_refuses(exported: Path) -> None:
    net = of_network(load_network(exported / "net.h5"))
    with pytest.raises(ValueError, match="level must be 'cells', got 'junctions': sfq.export_junctions writes junctions"):
        export(net, exported / "x.json", level="junctions")
    with pytest.raises(ValueError, match=r"path must end in \.json, got 'x\.v'"):
        export(net, exported / "x.v")
    with pytest.raises(ValueError, match="form must be 'table' or 'cells', got 'deck'"):
        export(net, exported / "x.json", form="deck")  # type: ignore[arg-type]
    assert not (exported / "x.v").exists() and not (exported / "x.json").exists()
    said = snnsim("export", exported / "net.h5", exported / "x.v", "--to", "sfq", code=2)
    assert "writes a file whose name ends in .json" in said
    for name, said in (("table", "name must be no word of Verilog, nor begin with sfq_, got 'table'"),
                       ("cells", r"path must not be cells\.json, as cells\.v is the file of the cells")):
        with pytest.raises(ValueError, match=said):
            export(net, exported / f"{name}.json")
    export(net, exported / "ok.json", form="table")
    with pytest.raises(ValueError, match="it is an export of another network"):
        prove(exported / "ok.json", SFQNetwork([SFQLayer("hidden", [[1]])]).network(), np.zeros((2, 1, 1), np.float32))


@pytest.mark.parametrize(("key", "value", "said"), [
    ("form", "deck", "form must be 'table' or 'cells', got 'deck'"), ("burst", 0, "burst must"), ("layers", [], "at least one"),
    ("layers", 3, "layers must be a list, got 3"), ("schedule", {}, "spacing is missing"), ("time", {"x": 1}, "unexpected"),
    ("schema", 9, "has the schema 9, this version reads 1"), ("format", "x", "is no description of SFQ cells")])
def test_a_damaged_description(exported: Path, key: str, value: Any, said: str) -> None:
    path = exported / "damaged.json"
    export(of_network(load_network(exported / "net.h5")), path, form="table")
    told = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**told, key: value}), encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(said)) as e:
        read(path)
    assert str(path) in str(e.value)


@pytest.mark.slow
@needs_iverilog
def test_thirty_thousand_synapses_compile_in_five_seconds() -> None:
    from benchmarks.sfq_verilog import row

    found = row((128, 256, 10))
    assert found["synapses"] > 28_000 and found["compile, s"] < 5
