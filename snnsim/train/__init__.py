"""Training: the loop, recipes, checkpoints and what they measured."""

from snnsim.train.build import build
from snnsim.train.collate import Collate
from snnsim.train.evaluation import Evaluation, evaluate
from snnsim.train.history import Epoch, History
from snnsim.train.loop import fit, forecast, hidden_layers, prepare
from snnsim.train.memory import Forecast
from snnsim.train.recipe import DataRecipe, Recipe, TrainRecipe
from snnsim.train.recipe_file import load_recipe, merged, read_recipe, recipe_names
from snnsim.train.whole import whole_net

__all__ = ["Collate", "DataRecipe", "Epoch", "Evaluation", "Forecast", "History", "Recipe", "TrainRecipe", "build",
           "evaluate", "fit", "forecast", "hidden_layers", "load_recipe", "merged", "prepare", "read_recipe",
           "recipe_names", "whole_net"]
