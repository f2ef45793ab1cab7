"""Compiled kernels are never stale, and compile wherever a user may be: beside others, and where nothing is writable."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import snnsim
from snnsim import kernel
from snnsim.engine import loop
from snnsim.engine.printed import update_text
from snnsim.kernel import load_printed
from snnsim.neurons import IF, LIF
from snnsim.rule import Rule

ADD = """
@njit(cache=True, error_model="numpy")
def helper(a):
    return a + F({0})


@njit(cache=True, error_model="numpy")
def add(a):
    return helper(a)
"""
PROCESS = f"""
import numpy as np
from snnsim.kernel import load_printed
module = load_printed({ADD.format(1.5)!r}, "float64")
print(module.__file__, module.add(2.0), sum(module.add.stats.cache_hits.values()))
"""
ENGINE = """
import numpy as np
from snnsim import engine
from snnsim.maps import Dense
from snnsim.network import Network, Population, Projection
from snnsim.neurons import IF
populations = Population("in", (2,)), Population.of("a", (3,), IF(), 1.0)
net = Network(populations, (Projection("in", "a", (Dense(np.ones((3, 2))),)),))
print(engine.run(net, np.ones((4, 2))).counts["a"])
"""


def start(text, cache):
    paths = {"HOME": str(cache), "XDG_CACHE_HOME": str(cache), "LOCALAPPDATA": str(cache), "USERPROFILE": str(cache)}
    environment = {**os.environ, **paths, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.Popen([sys.executable, "-c", text], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True)


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.split()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load_printed.cache_clear()
    yield tmp_path
    load_printed.cache_clear()


def test_an_edited_helper_gives_a_new_kernel(cache):
    one, two = (load_printed(ADD.format(v), "float64") for v in (1.0, 2.0))
    assert one.__file__ != two.__file__
    assert (one.add(0.0), two.add(0.0)) == (1.0, 2.0)
    single = load_printed(ADD.format(1.0), "float32")
    assert single.__file__ not in (one.__file__, two.__file__)
    assert load_printed(ADD.format(1.0), "float64") is one


def test_a_kernel_survives_damage_to_its_file(cache):
    path, value, hits = finish(start(PROCESS, cache))
    assert (value, hits) == ("3.5", "0")
    whole = Path(path).read_text()
    assert finish(start(PROCESS, cache)) == [path, "3.5", "1"]
    for damage in ("", whole[: len(whole) // 2], whole.replace("a + F(1.5)", "a - F(1.5)")):
        Path(path).write_text(damage)
        assert finish(start(PROCESS, cache))[:2] == [path, "3.5"]
        assert Path(path).read_text() == whole


def test_processes_that_start_cold_at_once(cache):
    processes = [start(PROCESS, cache) for _ in range(4)]
    assert {tuple(finish(p)[:2]) for p in processes} == {tuple(finish(start(PROCESS, cache))[:2])}
    assert not [p for p in kernel.cache_directory().iterdir() if p.suffix == ".tmp"]


def test_the_engine_runs_without_a_writable_home(tmp_path):
    (tmp_path / "file").write_text("")
    assert finish(start(ENGINE, tmp_path / "file" / "home")) == ["[12]"]


def test_rules_that_compute_the_same_share_a_kernel():
    def charge(u: float, drive: float, keep: float, limit: float) -> float:
        return keep * u + drive

    def margin(u: float, keep: float, limit: float) -> float:
        return u - limit

    def reset(u: float, s: float, keep: float, limit: float) -> float:
        return u - s * limit

    own = Rule("own", charge, margin, reset, inputs=("drive",))
    plain = LIF().rule
    bare = Rule("bare", plain.charge, plain.margin, plain.reset)
    assert update_text(own, "float32") == update_text(bare, "float32") != update_text(plain, "float32")
    assert update_text(IF().rule, "float64") != update_text(IF(reset="hard").rule, "float64")


def jitted(tree):
    """The functions of a module that Numba compiles."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any("jit" in ast.unparse(d) for d in node.decorator_list):
            yield node


@pytest.mark.parametrize("path", sorted(Path(snnsim.__file__).parent.rglob("*.py")), ids=lambda p: p.stem)
def test_compiled_functions_use_only_what_stands_in_their_file(path):
    """Numba's cache watches the file of the caller alone: a kernel or constant from elsewhere could be stale."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {a.asname or a.name for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("snnsim") for a in node.names}
    for function in jitted(tree):
        used = {n.id for part in function.body for n in ast.walk(part) if isinstance(n, ast.Name)}
        assert not used & imported, f"{function.name} uses {used & imported}"


def test_kernels_do_not_contract():
    """x + r * v must round twice, or float32 spikes would depend on the processor."""
    row = np.float32(1 + 2**-12)
    into = np.full(65, -np.float32(1 + 2**-11))
    loop.add_scaled(into, np.full(65, row), row)
    assert np.all(into == 0.0)
    assert np.float64(row) ** 2 != 1 + 2**-11
