"""Recipes in files: those of a user, those that come with snnsim, and those that extend another.

    extends = "methods/baseline"     a recipe that comes with snnsim, or a path beside this file

Tables are merged key by key, and what stands here replaces what stands there; [[layer]] replaces all layers.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from snnsim.train.recipe import Recipe

DEEPEST = 8  # recipes that extend one another


def load_recipe(name: str | os.PathLike[str]) -> Recipe:
    """The recipe in a TOML file, or one that comes with snnsim, by its name (see `recipe_names`).

    Errors: FileNotFoundError where there is none; ValueError that names the file and what is wrong in it.
    """
    return Recipe.from_dict(read_recipe(name), str(name))


def read_recipe(name: str | os.PathLike[str]) -> dict[str, Any]:
    """The tables of a recipe, with those that it extends merged in."""
    d, at = _read(str(name), Path())
    for _ in range(DEEPEST):
        if "extends" not in d:
            return d
        extended = d.pop("extends")
        if not isinstance(extended, str):
            raise ValueError(f"{name}: extends must be the name of a recipe, got {extended!r}")
        base, at = _read(extended, at)
        d = merged(base, d)
    raise ValueError(f"{name}: more than {DEEPEST} recipes extend one another")


def recipe_names() -> list[str]:
    """The recipes that come with snnsim."""
    with resources.as_file(resources.files("snnsim") / "recipes") as folder:
        return sorted(f.relative_to(folder).with_suffix("").as_posix() for f in folder.rglob("*.toml"))


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """base with what `over` says in its place; tables are merged in the same way."""
    both = {k: merged(base[k], over[k]) for k in base.keys() & over.keys()
            if isinstance(base[k], Mapping) and isinstance(over[k], Mapping)}
    return {**base, **over, **both}


def _read(name: str, beside: Path) -> tuple[dict[str, Any], Path]:
    """The tables of a file, and the folder that it lies in."""
    names, path, known = recipe_names(), beside / name, name.removesuffix(".toml")
    if name not in names and path.is_file():
        text = path.read_text(encoding="utf-8")
    elif known in names:
        text = (resources.files("snnsim") / "recipes" / f"{known}.toml").read_text(encoding="utf-8")
    else:
        raise FileNotFoundError(f"there is no recipe {name!r}: give a TOML file, or one of {', '.join(names)}")
    try:
        return tomllib.loads(text), path.parent
    except tomllib.TOMLDecodeError as e:
        raise ValueError(f"{name} is not valid TOML: {e}") from None
