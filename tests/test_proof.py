"""snnsim verify: artefacts of every kind, run here and in the tools there are, as text, JSON and a page."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.common import peer_python
from snnsim import engine
from snnsim.cli.app import app
from snnsim.hardware import integer, nir
from snnsim.hardware.loihi import process
from snnsim.interop import prove
from snnsim.maps import Conv2d, Dense
from snnsim.network import Network, Population, Projection, TimeBase
from snnsim.network_file import save_network
from snnsim.neurons import LIF
from snnsim.report.proof import write_proof
from tests.test_nir_forms import FORMS, net

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(3)
    path = tmp_path_factory.mktemp("proof")
    populations = (Population("in", (12,)), Population.of("hidden", 20, LIF(tau=6.0, reset="hard"), 1.0, np.float32),
                   Population.of("out", 4, LIF(tau=8.0, reset="hard"), 1.0, np.float32))
    projections = (Projection("in", "hidden", (Dense(rng.normal(0.2, 0.4, (20, 12)).astype("f")),)),
                   Projection("hidden", "out", (Dense(rng.normal(0.1, 0.4, (4, 20)).astype("f")),)))
    save_network(Network(populations, projections, TimeBase(steps=40)), path / "net.h5")
    return path


def snnsim(*arguments: Any, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.parametrize(("to", "name"), [("nir", "net.nir"), ("netx", "net.net"), ("loihi", "net.json"), ("lava", "net.py")])
def test_what_is_exported_is_verified(folder: Path, to: str, name: str) -> None:
    said = snnsim("export", folder / "net.h5", folder / name, "--to", to)
    assert to == "nir" or ("error of weights" in said and "in->hidden" in said)
    assert said.splitlines()[-1] == f"next: snnsim verify {folder / name} --against {folder / 'net.h5'}"
    page = folder / f"{to}.html"
    found = json.loads(snnsim("verify", folder / name, "--against", folder / "net.h5", "--no-tools", "--json", "--html", page))
    assert found["exact"] and found["samples"] == 20 and found["before"] is None
    text = page.read_text(encoding="utf-8")
    assert f"{name}, verified" in text and "hidden" in text and "http" not in text.replace("http-equiv", "")
    if to == "nir":
        assert [r["tool"] for r in found["runs"]] == ["snnsim"] and found["predictions_equal"] == 20
    else:
        shares = [x["share"] for x in found["quantised"]["layers"]]
        assert min(shares) > 0.8 and not found["runs"]
        said = snnsim("verify", folder / name, "--against", folder / "net.h5", "--no-tools")
        assert "nothing ran it but our executor" in said


def test_a_network_of_whole_numbers_stays_what_it_is(folder: Path) -> None:
    from snnsim.network_file import load_network

    whole = integer.quantize(load_network(folder / "net.h5")).network()
    process.write(integer.quantize(whole), folder / "whole.json")
    counts = np.random.default_rng(0).poisson(0.1, (40, 7, 12))
    proof = prove(folder / "whole.json", whole, counts, [0] * 7, tools=False)
    assert proof.quantised is not None and proof.quantised.exact
    assert proof.predictions_equal == 7 and proof.before == proof.after


def test_accuracies_of_nir_come_from_the_runs_that_were_compared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from snnsim.network_file import load_network

    snnsim("export", folder / "net.h5", folder / "net3.nir")
    network, run, runs = load_network(folder / "net.h5"), engine.run, list[Any]()

    def counted(*arguments: Any, **options: Any) -> Any:
        runs.append(run(*arguments, **options))
        return runs[-1]

    monkeypatch.setattr(engine, "run", counted)
    counts = (np.random.default_rng(0).random((40, 9, 12)) < 0.3).astype("f")
    proof = prove(folder / "net3.nir", network, counts, np.arange(9) % 4, tools=False)
    assert len(runs) == 2
    assert proof.before == proof.after == np.mean(runs[0].prediction == np.arange(9) % 4)


def test_what_differs_is_said(folder: Path) -> None:
    from snnsim.network_file import load_network

    network = load_network(folder / "net.h5")
    snnsim("export", folder / "net.h5", folder / "net2.nir")
    other = Network(network.populations, (network.projections[0], Projection("hidden", "out", (Dense(
        -np.asarray(network.projections[1].maps[0].arrays()["weight"])),))), network.time)
    save_network(other, folder / "other.h5")
    said = snnsim("verify", folder / "net2.nir", "--against", folder / "other.h5", "--no-tools", code=1)
    assert "NOT equal" in said and "samples diverge" in said
    proof = prove(folder / "net2.nir", other, np.ones((10, 2, 12), "f"), tools=False)
    write_proof(folder / "differs.html", proof, "ones")
    assert "Spikes differ." in (folder / "differs.html").read_text(encoding="utf-8")
    smaller = Network(network.populations[:2], network.projections[:1], network.time)
    snnsim("export", folder / "net.h5", folder / "net2.json", "--to", "loihi")
    with pytest.raises(ValueError, match=r"net2\.json holds the populations .*: it is an export of another network"):
        prove(folder / "net2.json", smaller, np.ones((10, 2, 12), "f"), tools=False)
    assert "net2.json needs" not in snnsim("export", folder / "net.h5", folder / "net3.net")
    assert "net3.py needs net3.json and net3.arrays.h5" in snnsim("export", folder / "net.h5", folder / "net3.py", "--bits", 6)
    for given, wrong in ((("net3.json", "--to", "nir"), "a NIR file must not end in .json"),
                         (("net3.nir", "--bits", 4), "--bits belongs to whole numbers, and net3.nir is NIR"),
                         (("net3.json", "--allow-lossy"), "--allow-lossy belongs to NIR, and net3.json is in whole numbers"),
                         (("net3.json", "--root", "x"), "--root belongs to --data")):
        said = " ".join(snnsim("export", folder / "net.h5", folder / given[0], *given[1:], code=2).replace("│", "").split())
        assert wrong in said
    assert "writes a file whose name ends in .json" in snnsim("export", folder / "net.h5", folder / "x.nir", "--to", "loihi",
                                                              code=2)


@pytest.mark.slow
@pytest.mark.skipif(peer_python("lava") is None, reason="Lava is not installed: make peers-lava")
def test_every_tool_that_is_installed_runs_it(folder: Path) -> None:
    lava = peer_python("lava")
    for to, name in (("nir", "all.nir"), ("netx", "all.net"), ("loihi", "all.json"), ("lava", "all.py")):
        snnsim("export", folder / "net.h5", folder / name, "--to", to)
        found = json.loads(snnsim("verify", folder / name, "--against", folder / "net.h5", "--lava", lava, "--json"))
        ran = {r["tool"]: r["why"] for r in found["runs"] if r["report"] is None}
        assert found["exact"] and not ran, ran
        tools = ["snnsim", "snntorch", "spikingjelly", "norse"] if to == "nir" else ["lava"]
        assert [r["tool"] for r in found["runs"]] == tools
    text = (folder / "all.py").read_text()  # the script itself is what is run: another threshold in it is found
    (folder / "all.py").write_text(text.replace("for k in (\"du\", \"dv\", \"vth\")}", "for k in (\"du\", \"dv\", \"vth\")}\n"
                                                "    given[\"vth\"] = given[\"vth\"] + 9"))
    said = snnsim("verify", folder / "all.py", "--against", folder / "net.h5", "--lava", lava, code=1)
    assert "NOT equal" in said and "the first difference: sample" in said
    (folder / "all.py").write_text("def")
    said = snnsim("verify", folder / "all.py", "--against", folder / "net.h5", "--lava", lava, code=1)
    assert "lava: FAILED; Lava cannot run all.py: SyntaxError" in said


@pytest.mark.skipif(os.name != "posix", reason="a shell stands for Lava's Python")
def test_an_artefact_on_which_lava_fails_is_not_verified(folder: Path, tmp_path: Path) -> None:
    wrapper = tmp_path / "python"
    wrapper.write_text("#!/bin/sh\necho 'ValueError: on purpose' >&2; exit 1\n")
    wrapper.chmod(0o755)
    snnsim("export", folder / "net.h5", tmp_path / "net.py")
    given = ("verify", tmp_path / "net.py", "--against", folder / "net.h5", "--lava", wrapper)
    said = snnsim(*given, "--html", tmp_path / "net.html", code=1)
    assert "lava: FAILED; Lava cannot run net.py: ValueError: on purpose" in said
    assert "NOT verified: lava could not run it" in said and "exact" not in said
    assert "Failed: Lava cannot run net.py" in (tmp_path / "net.html").read_text(encoding="utf-8")
    found = json.loads(snnsim(*given, "--json", code=1))
    assert not found["exact"] and found["runs"][0]["failed"]
    (tmp_path / "net.py").unlink()
    assert "there is no file" in snnsim(*given, "--no-tools", code=1)


@pytest.mark.parametrize(("form", "option"), [("average", "--pools"), ("1d", "--convs")])
def test_forms_of_nir_are_chosen_on_the_command_line(tmp_path: Path, form: str, option: str) -> None:
    save_network(net(form), tmp_path / "net.h5")
    for i, more in enumerate(((), ("--firing", "at", "--encoding", "tau_over_dt"))):
        file, other = tmp_path / f"{i}.nir", tmp_path / f"{i}.other.nir"
        snnsim("export", tmp_path / "net.h5", file, option, form, *more)
        nir.export(net(form), other, encoding=("unit_r", "tau_over_dt")[i], firing=(">", ">=")[i], **FORMS[form])
        assert file.read_bytes() == other.read_bytes()
    assert "exact: every spike is equal in snnsim" in snnsim("verify", file, "--against", tmp_path / "net.h5", "--no-tools")
    said = snnsim("export", tmp_path / "net.h5", tmp_path / "x.nir", option, form, "--encoding", "sinabs", code=1)
    assert f"{option} must be {'sum' if form == 'average' else '2d'} for --encoding sinabs, as Sinabs" in said
    assert said.strip().endswith(f"got {form}") and not (tmp_path / "x.nir").exists()


def test_what_nir_options_refuse_is_said_as_they_are_called(folder: Path, tmp_path: Path) -> None:
    said = snnsim("export", folder / "net.h5", tmp_path / "x.nir", "--encoding", "sinabs", "--firing", "above", code=1)
    assert "--firing must be at for --encoding sinabs, which fires at its threshold and subtracts it, got above" in said
    wide = Population.of("out", (1, 1, 5), LIF(reset="hard"), 1.0, np.float32)
    conv = Projection("in", "out", (Conv2d(np.ones((1, 2, 4, 4), "f")),))
    save_network(Network((Population("in", (2, 4, 8)), wide), (conv,)), tmp_path / "net.h5")
    said = snnsim("export", tmp_path / "net.h5", tmp_path / "x.nir", "--convs", "1d", code=1)
    assert "NIR cannot reshape: export with --convs 2d" in said and "=" not in said
    assert "net.h5 is the network itself" in snnsim("export", tmp_path / "net.h5", tmp_path / "net.h5", code=2)
    for given in (("--pools", "sum"), ("--convs", "2d"), ("--firing", "at")):
        said = " ".join(snnsim("export", folder / "net.h5", tmp_path / "x.net", *given, code=2).replace("│", "").split())
        assert f"{given[0]} belongs to NIR, and x.net is in whole numbers" in said


def test_what_a_file_has_lost_is_not_asked_of_other_tools(folder: Path) -> None:
    from snnsim.network_file import load_network

    network = load_network(folder / "net.h5")
    soft = Population.of("out", 4, LIF(tau=8.0, reset="soft"), 1.0, np.float32)
    save_network(Network((*network.populations[:2], soft), network.projections, network.time), folder / "soft.h5")
    snnsim("export", folder / "soft.h5", folder / "soft.nir", "--allow-lossy")
    said = snnsim("verify", folder / "soft.nir", "--against", folder / "soft.h5")
    assert "snntorch: not run; the file is another network there" in said and "lossy: population 'out'" in said
    assert "exact: every spike is equal in snnsim" in said
