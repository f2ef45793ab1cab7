"""What the repository promises by its form: links, light imports, no code in data, no stale kernels, tested pins."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "snnsim").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]

# Modules that can run code out of data, and the functions that do.
RUNS_CODE = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
CALLS_CODE = {"eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec", "torch.load", "torch.save"}
JIT = {"njit", "numba.njit", "numba.jit", "nb.njit", "nb.jit", "kernel.jit"}  # and `jit` from snnsim.kernel


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("name", ["datasets", "hardware", "neurons"])
def test_the_top_folders_are_links_into_the_package(name: str) -> None:
    link = ROOT / name
    if link.is_file() and link.read_text(encoding="utf-8").strip() == f"snnsim/{name}":
        pytest.skip("a checkout without symbolic links: git wrote the link's target into a plain file")
    assert link.is_symlink()
    assert Path(os.readlink(link)).as_posix() == f"snnsim/{name}"
    assert (link / "__init__.py").is_file()


@pytest.mark.parametrize("module", ["snnsim", "snnsim.engine", "snnsim.datasets", "snnsim.hardware"])
def test_importing_loads_neither_torch_nor_triton(module: str) -> None:
    child = f"import {module}, sys; print([m for m in ('torch', 'triton') if m in sys.modules])"
    output = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True, cwd=ROOT)
    assert output.stdout.strip() == "[]"


def code_from_data(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, a.name) for a in node.names if a.name.partition(".")[0] in RUNS_CODE)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in RUNS_CODE:
            yield node.lineno, str(node.module)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in CALLS_CODE:
            yield node.lineno, ast.unparse(node.func)
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            yield node.value.lineno, "allow_pickle"


@pytest.mark.parametrize("path", FILES, ids=named)
def test_nothing_runs_code_out_of_data(path: Path) -> None:
    assert list(code_from_data(parsed(path))) == []


@pytest.mark.parametrize(("text", "found"), [
    ("import pickle", "pickle"), ("from pickle import loads", "pickle"), ("def f():\n    import joblib", "joblib"),
    ("eval('1')", "eval"), ("torch.load(p)", "torch.load"), ("np.load(p, allow_pickle=True)", "allow_pickle"),
])
def test_code_out_of_data_is_found(text: str, found: str) -> None:
    assert [what for _, what in code_from_data(ast.parse(text))] == [found]


def test_what_only_looks_like_code_out_of_data_passes() -> None:
    assert list(code_from_data(ast.parse("net.eval(); loader.exec_module(m); np.load(p, allow_pickle=False)"))) == []


def imported_from_snnsim(tree: ast.Module, package: str) -> dict[str, str]:
    """Each name that the file imports from snnsim, with the module it comes from."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            if source.partition(".")[0] == "snnsim":
                names.update({a.asname or a.name: source for a in node.names})
        elif isinstance(node, ast.Import):
            names.update({(a.asname or a.name).partition(".")[0]: a.name for a in node.names
                          if a.name.partition(".")[0] == "snnsim"})
    return names


def jitted(tree: ast.Module, imported: dict[str, str]) -> Iterator[ast.FunctionDef]:
    """The functions that `snnsim.kernel.jit(...)` compiles: decorated, or handed over by name."""

    def is_jit(node: ast.expr) -> bool:
        name = ast.unparse(node.func if isinstance(node, ast.Call) else node)
        return name in JIT or (name == "jit" and imported.get("jit") == "snnsim.kernel")

    handed = {a.id for n in ast.walk(tree) if isinstance(n, ast.Call) and is_jit(n.func) for a in n.args
              if isinstance(a, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and (node.name in handed or any(map(is_jit, node.decorator_list))):
            yield node


def foreign_names(tree: ast.Module, package: str) -> list[str]:
    """What kernels of the file take from other files of snnsim, as `kernel uses name of module`."""
    imported = imported_from_snnsim(tree, package)
    return [f"{function.name} uses {node.id} of {imported[node.id]}" for function in jitted(tree, imported)
            for statement in function.body for node in ast.walk(statement)
            if isinstance(node, ast.Name) and node.id in imported]


@pytest.mark.parametrize("path", FILES, ids=named)
def test_kernels_use_only_their_own_file(path: Path) -> None:
    """Numba caches a kernel by its own file's time stamp: a helper or constant of another file would go stale."""
    package = ".".join(path.relative_to(ROOT).parent.parts)
    assert foreign_names(parsed(path), package) == []


@pytest.mark.parametrize("head", ["@jit()\ndef f(x):", "@jit(parallel=True)\ndef f(x):", "@numba.njit\ndef f(x):"])
def test_a_kernel_that_uses_another_file_is_found(head: str) -> None:
    source = f"import numba\nfrom snnsim.kernel import jit\nfrom snnsim.engine.b import g\n{head}\n    return g(x)\n"
    assert foreign_names(ast.parse(source), "snnsim.engine") == ["f uses g of snnsim.engine.b"]


def test_a_function_handed_to_jit_is_a_kernel() -> None:
    source = "from snnsim.kernel import jit\nfrom .b import g\ndef f(x):\n    return g(x)\nfast = jit()(f)\n"
    assert foreign_names(ast.parse(source), "snnsim.engine") == ["f uses g of snnsim.engine.b"]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


@pytest.mark.parametrize("extra", ["core", *EXTRAS])
def test_every_requirement_has_a_tested_pin_that_it_allows(extra: str) -> None:
    pinned = pins()
    for text in PROJECT["dependencies"] if extra == "core" else EXTRAS[extra]:
        requirement = Requirement(text)
        if requirement.name != "snnsim":
            assert requirement.specifier.contains(pinned.get(canonicalize_name(requirement.name), "no pin")), text


def test_all_is_every_extra_but_those_of_a_card_and_dev() -> None:
    [everything] = EXTRAS["all"]
    assert Requirement(everything).extras == set(EXTRAS) - {"all", "dev", "gpu"}


def test_torch_is_pinned_so_that_no_package_replaces_it() -> None:
    assert {"torch", "torchvision", "torchaudio"} <= set(pins())
