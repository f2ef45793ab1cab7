"""The doctor names what is missing and the command that adds it, and prints what a rule was derived into."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from snnsim import doctor
from snnsim.doctor import Package

PYPROJECT = tomllib.loads((Path(__file__).resolve().parent.parent / "pyproject.toml").read_text(encoding="utf-8"))


def test_it_knows_the_extras_of_the_project():
    project = PYPROJECT["project"]
    declared = {"core": project["dependencies"], **project["optional-dependencies"]}
    names = {extra: {Requirement(r).name for r in listed} for extra, listed in declared.items()}
    del names["all"], names["dev"]
    assert {extra: {n.lower() for n in listed} for extra, listed in names.items()} == {
        extra: set(listed) for extra, listed in doctor.EXTRAS.items()}
    assert set(doctor.SERVES) == set(doctor.EXTRAS)


def test_what_is_there_has_a_version_and_what_is_missing_a_command():
    found = {p.name: p for p in doctor.examine().packages}
    assert found["numpy"].version and found["numpy"].command == ""
    assert Package("torch", "train", None).command == 'pip install "snnsim[train]"'
    assert Package("numba", "core", None).command == "pip install snnsim"


def test_the_examination_is_json():
    found = json.loads(json.dumps(doctor.examine().to_dict()))
    assert found["cores"] >= 1 and found["threads"] >= 1 and found["cache"] and found["cuda"]
    assert {p["name"] for p in found["packages"]} >= {"numpy", "torch", "matplotlib"}


def test_a_cache_that_cannot_be_written_is_a_problem(monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    found = doctor.examine()
    assert not found.cache_kept
    assert any("cannot be written" in p and "XDG_CACHE_HOME" in p for p in found.problems)


@pytest.mark.parametrize(("module", "sentence"), [
    ("torch", 'torch is missing: pip install "snnsim[train]"'),
    ("sklearn", 'scikit-learn is missing: pip install "snnsim[data]"'),
    ("numba.core", "numba is missing: pip install snnsim")])
def test_a_failed_import_names_its_remedy(module, sentence, monkeypatch):
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    assert doctor.remedy(ModuleNotFoundError(f"No module named {module!r}", name=module)) == sentence


def test_other_failed_imports_keep_their_words():
    assert doctor.remedy(ImportError("the library is broken", name="torch")) == "the library is broken"


@pytest.mark.parametrize("name", [*doctor.SHORT, *doctor.rule_names(), "LIF"])
def test_every_rule_is_explained_with_steps_that_compile(name):
    text = doctor.explain(name)
    assert "forward, one step:" in text and "backward, one step" in text and "source: " in text
    assert "g_x = " in text or ("g_ex = " in text and "g_inh = " in text)
    for line in text.splitlines():
        if line.startswith("    "):
            compile(line.strip(), "step", "exec")


def test_a_surrogate_can_be_chosen():
    assert doctor.explain("lif", "triangle") != doctor.explain("lif", "atan")
    with pytest.raises(ValueError, match="there is no surrogate 'x': give one of atan, sigmoid"):
        doctor.explain("lif", "x")


def test_an_unknown_rule_lists_the_names():
    with pytest.raises(ValueError, match="there is no rule 'hh': give one of lif_soft, lif_hard, .* or short lif, if"):
        doctor.explain("hh")


def test_it_works_without_torch():
    child = ("import sys; sys.modules['torch'] = None\nfrom snnsim import doctor\n"
             "import importlib.util as u; old = u.find_spec\n"
             "doctor.find_spec = lambda n: None if n == 'torch' else old(n)\n"
             "f = doctor.examine(); print([p.command for p in f.packages if p.name == 'torch'], f.cuda)")
    output = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == """['pip install "snnsim[train]"'] not looked for: torch is missing"""
