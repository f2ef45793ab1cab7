"""The command line: help that teaches, sentences instead of stack traces, right exit codes, and commands that work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from snnsim import datasets, load_network, save_network
from snnsim.cli import app
from snnsim.cli.samples import spread
from snnsim.datasets import EventDataset
from snnsim.engine import save_recording
from tests import recordings
from tests.test_plot import recording, small_network

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = [["demo"], ["doctor"], ["train"], ["run"], ["export"], ["verify"], ["map"], ["data", "info"], ["data", "check"],
            ["data", "list"], ["data", "camera"], ["data", "convert"], ["data", "digits"], ["data", "pack"], ["data", "slice"],
            ["data", "view"],
            ["plot", "events"], ["plot", "network"], ["plot", "raster"], ["plot", "membranes"], ["plot", "training"],
            ["plot", "populations"], ["plot", "statistics"], ["plot", "traces"], ["sfq", "sim"], ["sfq", "margins"],
            ["sfq", "xor"]]
RECIPE = """
[data]
name = "nmnist"
dt = 30.0
validation = 0.2
[[layer]]
kind = "sum_pool2d"
kernel = 2
[[layer]]
kind = "flatten"
[[layer]]
kind = "linear"
inputs = 578
outputs = 12
[[layer]]
kind = "neuron"
reset = "hard"
[[layer]]
kind = "linear"
inputs = 12
outputs = 10
[[layer]]
kind = "readout"
[train]
epochs = 2
batch_size = 10
"""


def snnsim(*arguments: object, code: int = 0) -> str:
    """What a command prints; its errors too when it is meant to fail."""
    found = CliRunner().invoke(app, [str(a) for a in arguments], prog_name="snnsim", env={"COLUMNS": "200"})
    assert found.exit_code == code, found.output
    if code == 1:
        assert "Traceback" not in found.stderr
    return found.output if code else found.stdout


def python(code: str, *arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the code in a process of its own, from any folder, with snnsim as it stands here."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, cwd=cwd,
                          env={**os.environ, "PYTHONPATH": path})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small N-MNIST folder, a network with hard reset and one with soft reset, and a recipe."""
    root = tmp_path_factory.mktemp("cli")
    for part, each in (("Train", 4), ("Test", 2)):
        for digit in range(10):
            (root / "data" / part / str(digit)).mkdir(parents=True)
            for i in range(each):
                events = recording(100 * digit + i + 50 * (part == "Test"), digit).events
                datasets.write_nmnist(root / "data" / part / str(digit) / f"{i}.bin", events)
    save_network(small_network("hard"), root / "hard.h5")
    save_network(small_network("soft"), root / "soft.h5")
    save_recording(recordings.random(), root / "recording.h5")
    save_recording(recordings.dense({"p": [[1, 0]]}), root / "untraced.h5")
    (root / "recipe.toml").write_text(RECIPE)
    return root


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    snnsim("train", folder / "recipe.toml", "--data", folder / "data", "--seeds", 2, "--out", folder / "runs")
    return folder / "runs"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_teaches_with_an_example(command):
    text = snnsim(*command, "--help")
    assert "Example" in text and f"snnsim {' '.join(command)}" in text


def test_the_first_help_lists_all_commands():
    text = snnsim("--help")
    assert all(f" {c[0]} " in text for c in COMMANDS) and "snnsim demo" in text
    assert snnsim("--version").startswith("snnsim 0.")


def test_help_is_quick_and_loads_nothing_heavy():
    child = ("import sys\nfrom snnsim.cli import main\ntry: main()\nexcept SystemExit as e: pass\n"
             "print([m for m in ('torch', 'numba', 'matplotlib', 'h5py', 'jinja2', 'numpy') if m in sys.modules])")
    began = time.perf_counter()
    assert python(child, "--help").stdout.splitlines()[-1] == "[]"
    assert time.perf_counter() - began < 5.0  # 0.3 s on an idle machine


@pytest.mark.parametrize("wrong", [
    ["unknown"], ["run"], ["run", "net.h5"], ["run", "net.h5", "a.bin", "--data", "nmnist"],
    ["run", "net.h5", "a.bin", "--root", "x"],
    ["run", "net.h5", "--data", "nmnist", "--mode", "x"], ["run", "net.h5", "--data", "nmnist", "--limit", "0"],
    ["export", "a", "b", "--to", "x"], ["export", "a", "b", "--encoding", "x"], ["export", "a", "b", "--firing", ">"],
    ["export", "a", "b", "--pools", "max"], ["export", "a", "b", "--convs", "3d"],
    ["verify", "a", "--against", "b", "--root", "x"],
    ["map", "a", "--bits", "9"], ["map", "a", "--root", "x"],
    ["train", "digits", "--seed", "1", "--seeds", "2"], ["train", "digits", "--epochs", "0"], ["plot", "events", "a.bin"]],
    ids=" ".join)
def test_wrong_usage_is_exit_code_2(wrong):
    assert "Usage: snnsim" in snnsim(*wrong, code=2)


@pytest.mark.parametrize(("command", "sentence"), [
    (["run", "nothing.h5", "--data", "nmnist", "--root", "{data}"], "there is no file nothing.h5"),
    (["run", "{recipe.toml}", "--data", "nmnist", "--root", "{data}"], "is not an snnsim network file"),
    (["run", "{hard.h5}", "--data", "mnist"], "there is no data set 'mnist': give one of digits-events, nmnist"),
    (["run", "{hard.h5}", "--data", "nmnist"],
     "nmnist is not embedded: give the folder that holds its Train and Test with --root"),
    (["run", "{hard.h5}", "--data", "digits-events", "--root", "x"],
     "digits-events is simulated and needs no files: leave out --root x"),
    (["run", "{hard.h5}", "{recipe.toml}"], "is no event file that is known here: it begins with b"),
    (["run", "{hard.h5}", "nothing.bin"], "there is no file nothing.bin"),
    (["train", "nothing"], "there is no recipe 'nothing': give a TOML file, or one of digits, "),
    (["train", "nmnist"], "nmnist is not embedded: give the folder that holds its Train and Test with --data"),
    (["train", "nmnist", "--data", "{empty}"], "is not N-MNIST: expected Train/0/*.bin to Train/9/*.bin, found nothing"),
    (["export", "{soft.h5}", "{out.nir}"], "Export with --allow-lossy to write it so"),
    (["export", "{hard.h5}", "/nowhere/out.nir"], "cannot write /nowhere/out.nir: there is no folder /nowhere"),
    (["verify", "{hard.h5}", "--against", "{hard.h5}"], "is not a NIR file"),
    (["map", "{recipe.toml}"], "is not an snnsim network file"),
    (["map", "{hard.h5}", "--limits", "{recipe.toml}"], "recipe.toml: there is no limit 'data', only neurons_per_core"),
    (["plot", "network", "{hard.h5}", "-o", "x.gif"], "its name must end in .png, .svg, .pdf"),
    (["plot", "training", "nothing.json", "-o", "x.png"], "there is no file nothing.json"),
    (["plot", "populations", "{hard.h5}", "-o", "x.png"], "is not an snnsim recording file: its format is 'snnsim network'"),
    (["plot", "statistics", "nothing.h5", "-o", "x.png"], "there is no file nothing.h5"),
    (["plot", "traces", "{untraced.h5}", "-o", "x.png"],
     "untraced.h5 holds no traces: simulate with traces={population: (state, neurons)}"),
    (["plot", "traces", "{recording.h5}", "--population", "silent", "-o", "x.png"],
     "no state of 'silent' was traced, only of ['L2/3E']"),
    (["plot", "training", "{recipe.toml}", "-o", "x.png"], "is not a training.json of snnsim, or it is damaged"),
    (["data", "info", "nothing"], "there is no file nothing"),
    (["data", "digits", "--out", "{data}"], "exists already: give a folder that does not, or remove it"),
    (["doctor", "--rule", "hh"], "there is no rule 'hh': give one of lif_soft"),
], ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_errors_are_sentences(command, sentence, folder):
    (folder / "empty").mkdir(exist_ok=True)
    output = snnsim(*[str(folder / c[1:-1]) if c.startswith("{") else c for c in command], code=1)
    assert output.startswith("error: ") and sentence in output
    assert not (folder / "out.nir").exists() and not Path("x.gif").exists() and not Path("x.png").exists()


def test_errors_go_to_stderr_and_debug_shows_where_they_come_from():
    found = CliRunner().invoke(app, ["run", "nothing.h5", "--data", "nmnist", "--root", "x"])
    assert found.stdout == "" and found.stderr.startswith("error: ")
    assert isinstance(CliRunner().invoke(app, ["--debug", "train", "nothing"]).exception, FileNotFoundError)


def test_a_missing_library_is_a_sentence_with_its_command(folder):
    child = ("import sys; sys.modules['torch'] = None\nimport snnsim.doctor as d; old = d.find_spec\n"
             "d.find_spec = lambda n: None if n == 'torch' else old(n)\nfrom snnsim.cli import main; main()")
    found = python(child, "train", folder / "recipe.toml", "--data", folder / "data")
    assert (found.returncode, found.stderr.strip()) == (1, 'error: torch is missing: pip install "snnsim[train]"')


def test_running_and_exporting_need_no_torch(folder, tmp_path):
    child = "import sys; sys.modules['torch'] = None\nfrom snnsim.cli import main; main()"
    for command in (["run", "hard.h5", "--data", "nmnist", "--root", "data", "--limit", "2"],
                    ["export", "hard.h5", str(tmp_path / "net.nir")],
                    ["verify", str(tmp_path / "net.nir"), "--against", "hard.h5", "--no-tools"]):
        found = python(child, *command, cwd=folder)
        assert found.returncode == 0, found.stderr


def test_run_prints_predictions_spikes_and_synaptic_events(folder):
    text = snnsim("run", folder / "hard.h5", "--data", "nmnist", "--root", folder / "data", "--limit", 10)
    for part in ("prediction", "accuracy", "spikes of first", "spikes of second", "synaptic events of input->first a sample",
                 "neurons updated every step", "event-driven"):
        assert part in text


def test_run_gives_the_same_in_both_modes_and_from_files(folder):
    def told(*options: object) -> dict[str, object]:
        found = json.loads(snnsim("run", folder / "hard.h5", *options, "--json"))
        return {k: found[k] for k in ("predictions", "spikes", "synaptic_events_per_sample", "events", "samples")}

    data = ("--data", "nmnist", "--root", folder / "data")
    reference = told(*data)
    assert reference["samples"] == 20
    assert told(*data, "--mode", "clock", "--threads", 1) == reference
    files = sorted((folder / "data" / "Test").rglob("*.bin"))
    assert told(*files) == reference
    known = json.loads(snnsim("run", folder / "hard.h5", *files, "--json"))
    assert "accuracy" not in known and known["sources"] == [str(f) for f in files]


def test_export_and_verify(folder, tmp_path):
    artefact = tmp_path / "net.nir"
    assert "lossy" not in snnsim("export", folder / "hard.h5", artefact, "--to", "nir", "--encoding", "tau_over_dt")
    assert "exact: every spike is equal" in snnsim("verify", artefact, "--against", folder / "hard.h5", "--no-tools")
    assert "lossy: population 'first'" in snnsim("export", folder / "soft.h5", artefact, "--allow-lossy")
    data = ("--data", "nmnist", "--root", folder / "data", "--limit", 5)
    found = json.loads(snnsim("verify", artefact, "--against", folder / "soft.h5", *data, "--no-tools", "--json"))
    assert found["exact"] and found["samples"] == 5 and found["notes"]


def test_verify_fails_when_spikes_differ(folder, tmp_path):
    artefact = tmp_path / "net.nir"
    snnsim("export", folder / "hard.h5", artefact)
    output = snnsim("verify", artefact, "--against", folder / "soft.h5", "--no-tools", code=1)
    assert "NOT equal" in output and "samples diverge" in output


def test_map_says_what_fits_and_what_it_costs(folder, tmp_path):
    assert "not a promise" in snnsim("map", folder / "hard.h5")
    data = ("--data", "nmnist", "--root", folder / "data", "--limit", 5)
    found = json.loads(snnsim("map", folder / "hard.h5", *data, "--json"))
    assert found["fits"] and found["chips"] == 1 and found["energy"]["estimates"]["Loihi 1"]["total"][0] > 0
    assert "compute alone breaks even at 5.11" in snnsim("map", folder / "hard.h5", *data)
    (tmp_path / "limits.toml").write_text("neurons_per_core = 1\ncores_per_chip = 2\n")
    output = snnsim("map", folder / "hard.h5", "--limits", tmp_path / "limits.toml", code=1)
    assert "does not fit: " in output and "neurons_per_core fills them: fewer channels or a larger stride" in output


def test_data_info_of_a_file_and_of_a_folder(folder):
    found = json.loads(snnsim("data", "info", folder / "data" / "Test" / "3" / "0.bin", "--json"))
    assert found["events"] == 600 and 200 < found["duration_ms"] < 300 and found["sensor"].startswith("34 x 34")
    text = snnsim("data", "info", folder / "data")
    assert "40" in text and "20" in text and "0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in text


def test_data_of_any_format(folder, tmp_path):
    source, raw = folder / "data" / "Test" / "3" / "0.bin", tmp_path / "a.raw"
    said = snnsim("data", "convert", source, raw, "--to", "evt3", "--sensor", "40x36")
    assert "600 events, 40 x 36 pixels, 2 polarities" in said
    found = json.loads(snnsim("data", "info", raw, "--json"))
    assert found["format"] == "Prophesee EVT3" and found["events"] == 600 and found["sensor"].startswith("40 x 36")
    head = json.loads(snnsim("data", "info", raw, "--head", "--json"))
    assert head["events"] == "not said" and head["bytes"] == raw.stat().st_size and head["geometry"] == "40x36"
    assert "1 files, 600 events; none faulty" in snnsim("data", "check", raw)
    assert "exists already: give a file that does not" in snnsim("data", "convert", source, raw, code=1)
    raw.write_bytes(raw.read_bytes()[:-1])
    assert "has 1 of its 2 bytes" in snnsim("data", "convert", raw, tmp_path / "b.es", code=1)
    assert "read only as far as the first fault" in snnsim("data", "convert", raw, tmp_path / "b.es", "--on-error", "truncate")
    assert "WIDTHxHEIGHT" in snnsim("data", "info", raw, "--sensor", "40", code=2)


def test_data_check_lists_faulty_files(folder, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder / "data", copy)
    assert "60 files, 36,000 events; none faulty" in snnsim("data", "check", copy)
    broken = copy / "Test" / "4" / "1.bin"
    broken.write_bytes(broken.read_bytes()[:-2])
    output = snnsim("data", "check", copy, code=1)
    assert f"error: {broken}: the last record, at byte 2995, has 3 of its 5 bytes" in output and "1 faulty" in output


def test_train_leaves_what_belongs_to_each_seed(trained):
    names = ["checkpoint.safetensors", "network.h5", "training.json"]
    for seed in (0, 1):
        assert sorted(p.name for p in (trained / f"seed-{seed}").iterdir()) == names
    told = json.loads((trained / "seed-1" / "training.json").read_text())
    assert told["seed"] == 1 and len(told["history"]["epochs"]) == 2 and told["test"]["samples"] == 20
    assert told["recipe"]["train"]["seed"] == 1 and len(told["test"]["rates"]) == len(told["layers"]) == 1
    summary = json.loads((trained / "summary.json").read_text())
    assert summary["seeds"] == [0, 1] and len(summary["accuracies"]) == 2 and summary["standard_deviation"] >= 0


def test_the_trained_network_runs_as_it_was_evaluated(trained, folder):
    told = json.loads((trained / "seed-0" / "training.json").read_text())
    network = trained / "seed-0" / "network.h5"
    found = json.loads(snnsim("run", network, "--data", "nmnist", "--root", folder / "data", "--json"))
    assert found["predictions"] == told["test"]["predictions"]
    assert load_network(network).classes == tuple("0123456789")


def test_a_recurrent_recipe_trains_and_runs_as_it_was_evaluated(folder, tmp_path):
    recipe = tmp_path / "recurrent.toml"
    recipe.write_text(RECIPE.replace("sum_pool2d", "avg_pool2d").replace('"neuron"', '"recurrent"\nfeatures = 12\nbias = true')
                      .replace("epochs = 2", "epochs = 6\nlearning_rate = 0.02"))
    snnsim("train", recipe, "--data", folder / "data", "--seed", 0, "--out", tmp_path)
    told = json.loads((tmp_path / "seed-0" / "training.json").read_text())
    assert told["layers"] == ["lif_hard_3"] and 0 < told["test"]["rates"][0] < 1
    network = tmp_path / "seed-0" / "network.h5"
    found = json.loads(snnsim("run", network, "--data", "nmnist", "--root", folder / "data", "--json"))
    assert found["predictions"] == told["test"]["predictions"] and len(set(found["predictions"])) > 1
    (back,) = (q for q in load_network(network).projections if q.source == q.target)
    assert back.delay == 1 and np.any(back.bias)
    snnsim("plot", "training", tmp_path / "seed-0" / "training.json", "-o", tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 5000


def test_a_recipe_that_cannot_be_lowered_is_refused_before_it_is_trained(folder, tmp_path):
    recipe = tmp_path / "max.toml"
    recipe.write_text(RECIPE.replace("sum_pool2d", "max_pool2d"))
    output = snnsim("train", recipe, "--data", folder / "data", "--seed", 0, "--out", tmp_path, code=1)
    assert "layer 0 (MaxPool2d) cannot be lowered: a Network holds Linear, Conv2d" in output
    assert not (tmp_path / "seed-0" / "checkpoint.safetensors").exists()


def test_train_continues_from_a_checkpoint_or_begins_again(trained, folder):
    options = (folder / "recipe.toml", "--data", folder / "data", "--seed", 0, "--out", trained)
    before = (trained / "seed-0" / "network.h5").read_bytes()
    assert "continuing from" in snnsim("train", *options)
    assert "belongs to a run with other settings" in snnsim("train", *options, "--epochs", 1, code=1)
    assert "continuing" not in snnsim("train", *options, "--restart")
    assert (trained / "seed-0" / "network.h5").read_bytes() == before


def test_train_prints_each_seed_and_their_spread(trained, folder):
    text = snnsim("train", folder / "recipe.toml", "--data", folder / "data", "--seed", 0, "--seed", 1, "--out", trained)
    assert "chosen epoch" in text and "standard deviation of 2 seeds" in text and "next: snnsim run" in text


@pytest.mark.parametrize("command", [
    ["events", "{data/Test/1/0.bin}"], ["network", "{hard.h5}"], ["raster", "{hard.h5}", "{data/Test/1/0.bin}"],
    ["membranes", "{hard.h5}", "{data/Test/1/0.bin}", "--population", "first"], ["training", "{runs/seed-0/training.json}"],
    ["populations", "{recording.h5}", "--neurons", "20"], ["statistics", "{recording.h5}"],
    ["traces", "{recording.h5}"], ["traces", "{recording.h5}", "--population", "L2/3E", "--neuron", "1", "--unit", "mV"]],
    ids=lambda c: c[0])
def test_plot_writes_pictures(command, folder, trained, tmp_path):
    out = tmp_path / "x.png"
    snnsim("plot", *[folder / c[1:-1] if c.startswith("{") else c for c in command], "-o", out)
    assert out.read_bytes()[:4] == b"\x89PNG" and out.stat().st_size > 5000


def test_doctor_prints_and_gives_json():
    text = snnsim("doctor")
    assert "numpy" in text and "Numba threads" in text and "CUDA" in text
    assert json.loads(snnsim("doctor", "--json"))["snnsim"]
    assert "g_decay = " in snnsim("doctor", "--rule", "lif")


def test_spread_takes_the_classes_in_turn():
    assert spread([0, 0, 0, 1, 1, 2], 4) == [0, 1, 3, 5]
    assert spread([1, 1], 5) == [0, 1]


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_an_interrupt_ends_with_one_line_and_130(folder, tmp_path):
    child = ("import os, signal, threading\nfrom snnsim import train\n"
             "def wait(*a, **k):\n    os.kill(os.getpid(), signal.SIGINT)\n    threading.Event().wait(20)\n"
             "train.fit = wait\nfrom snnsim.cli import main; main()")
    found = python(child, "train", folder / "recipe.toml", "--data", folder / "data", "--out", tmp_path)
    assert found.returncode == 130
    assert found.stderr.strip() == "error: interrupted; what was finished is kept"


def test_demo_does_the_whole_job(tmp_path, monkeypatch):
    sets = [EventDataset.of([recording(n + i) for i in range(size)], tuple("0123456789"), "digits-events")
            for n, size in ((0, 40), (1000, 20))]
    monkeypatch.setattr(datasets, "load", lambda name, root=None, seed=0: tuple(sets))
    text = snnsim("demo", "--out", tmp_path / "demo", "--epochs", 1)
    assert [f"\n{i}. " in "\n" + text for i in range(1, 10)] == [True] * 9
    assert "spikes equal after the export to NIR" in text and "spikes equal after the export to Loihi" in text
    assert "Open" in text and "lossy" not in text.splitlines()[0]
    names = ["checkpoint.safetensors", "network.arrays.h5", "network.h5", "network.json", "network.nir", "report.html",
             "training.json"]
    assert sorted(p.name for p in (tmp_path / "demo").iterdir()) == names
    page = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    assert "NIR has no soft" in page and page.count("<img") == 10
    assert "runs as what was exported" in page and "lif_soft_2-&gt;lif_soft_5" in page


@pytest.mark.slow
def test_demo_on_the_embedded_digits(tmp_path):
    found = python("from snnsim.cli import main; main()", "demo", "--epochs", 1, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "demo" / "report.html").stat().st_size > 100_000
