"""The comparison of the methods: which net a row is, what is paired with what, and that the pictures are drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from benchmarks import methods
from benchmarks.methods import ROWS, Job


def fake(job: Job, out: Path, accuracy: float, validation: float = 0.5) -> None:
    folder = job.folder(out)
    folder.mkdir(parents=True)
    epoch = {"validation_accuracy": validation, "seconds": 2.0}
    result: dict[str, Any] = {"test": {"accuracy": accuracy, "rates": [0.1]}, "history": {"chosen": 0, "epochs": [epoch]}}
    (folder / "training.json").write_text(json.dumps(result), encoding="utf-8")


@pytest.mark.parametrize("of", methods.SETS)
@pytest.mark.parametrize("row", ROWS)
def test_a_row_has_the_neurons_of_its_method(of: str, row: str) -> None:
    layers = Job(of, row, 0, "george").recipe().layers
    neurons = [layer for layer in layers if layer["kind"] in ("neuron", "mpbn")]
    assert neurons and all(layer["reset"] == ("hard" if row == "baseline" else "soft") for layer in neurons)
    assert {layer["kind"] for layer in neurons} == {"mpbn" if row == "mpbn" else "neuron"}
    assert any(layer["kind"] == "delay_linear" for layer in layers) == (row in methods.DELAYED)
    assert all(("rmp" in layer) == (row in ("rmp", "all")) for layer in neurons)


def test_sets_have_their_own_nets() -> None:
    of = {name: Job(name, "baseline", 0, "george").recipe() for name in methods.SETS}
    assert of["takes"] == of["shuffled"] and of["nmnist"].data.name == "nmnist"
    assert len(of["speakers"].layers) < len(of["takes"].layers)
    assert Job("takes", "baseline", 3).recipe().train.seed == 3


def test_differences_are_paired(tmp_path: Path) -> None:
    jobs = [Job("takes", row, seed) for row in ("baseline", "rmp") for seed in range(3)]
    for job, accuracy in zip(jobs, (0.5, 0.6, 0.7, 0.51, 0.62, 0.73), strict=True):
        fake(job, tmp_path, accuracy)
    plain, rmp = methods.summary(jobs, tmp_path)
    assert (plain["difference"], plain["difference_deviation"], plain["accuracies"]) == (0.0, 0.0, [50.0, 60.0, 70.0])
    assert (rmp["accuracy"], rmp["difference"], rmp["difference_deviation"], rmp["runs"]) == (62.0, 2.0, 1.0, 3)
    methods.draw([plain, rmp], tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 1000


def test_the_best_method_is_chosen_by_its_validation_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        methods.rows_of("nmnist", 1, tmp_path)
    assert "needs the runs of --set takes" in capsys.readouterr().err
    for row in ROWS:
        validation = 0.9 if row == "mpr" else 1.0 if row in (*methods.DELAYED, "baseline") else 0.8
        fake(Job("takes", row, 0), tmp_path, 0.99 if row == "rmp" else 0.5, validation)
    assert list(methods.rows_of("nmnist", 1, tmp_path)) == ["baseline", "mpr", "all"]
    assert methods.rows_of("shuffled", 1, tmp_path) == ROWS
