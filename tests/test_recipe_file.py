"""Recipes that extend others, and defaults of a kind of layer."""

import pytest

from snnsim.train import Recipe, load_recipe, recipe_names

BASE = """
[data]
name = "digits-events"
dt = 5.0
augment = {shift = 1.0, drop = 0.1}

[defaults.neuron]
tau = 10.0

[[layer]]
kind = "linear"
inputs = 4
outputs = 2

[[layer]]
kind = "neuron"

[[layer]]
kind = "neuron"
tau = 30.0

[train]
epochs = 3
"""


def test_a_recipe_says_only_what_is_different(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "base.toml").write_text(BASE, encoding="utf-8")
    (tmp_path / "sub" / "middle.toml").write_text(
        'extends = "../base.toml"\n[defaults.neuron]\nreset = "hard"\ntau = 5.0\n[data.augment]\nshift = 2.0', encoding="utf-8")
    (tmp_path / "sub" / "last.toml").write_text(
        'extends = "middle.toml"\n[defaults.linear]\nkind = "other"\nsteps = 25\n[train]\nseed = 7', encoding="utf-8")
    recipe = load_recipe(tmp_path / "sub" / "last.toml")
    assert recipe.layers == ({"kind": "other", "inputs": 4, "outputs": 2, "steps": 25},
                             {"kind": "neuron", "tau": 5.0, "reset": "hard"}, {"kind": "neuron", "tau": 30.0, "reset": "hard"})
    assert recipe.data.dt == 5.0 and recipe.data.augment == {"shift": 2.0, "drop": 0.1}
    assert (recipe.train.epochs, recipe.train.seed) == (3, 7)


def test_a_recipe_that_comes_along_is_extended_by_its_name(tmp_path):
    (tmp_path / "mine.toml").write_text('extends = "digits"\n[train]\nepochs = 1', encoding="utf-8")
    mine, digits = load_recipe(tmp_path / "mine.toml"), load_recipe("digits")
    assert mine.layers == digits.layers and mine.train.epochs == 1 and digits.train.epochs > 1
    assert load_recipe("digits.toml") == digits and "digits" in recipe_names()


def test_recipes_that_cannot_be_extended_are_refused(tmp_path):
    (tmp_path / "round.toml").write_text('extends = "round.toml"', encoding="utf-8")
    with pytest.raises(ValueError, match="more than 8 recipes extend one another"):
        load_recipe(tmp_path / "round.toml")
    (tmp_path / "number.toml").write_text("extends = 3", encoding="utf-8")
    with pytest.raises(ValueError, match="extends must be the name of a recipe, got 3"):
        load_recipe(tmp_path / "number.toml")
    (tmp_path / "none.toml").write_text('extends = "nothing"', encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="there is no recipe 'nothing'"):
        load_recipe(tmp_path / "none.toml")
    good = {"data": {"name": "x"}, "layer": [{"kind": "flatten"}]}
    with pytest.raises(ValueError, match=r"\[defaults.neuron\] is for no layer: their kinds are flatten"):
        Recipe.from_dict({**good, "defaults": {"neuron": {"tau": 1.0}}})
    with pytest.raises(ValueError, match=r"\[defaults.flatten\] must be a table, got 3"):
        Recipe.from_dict({**good, "defaults": {"flatten": 3}})
