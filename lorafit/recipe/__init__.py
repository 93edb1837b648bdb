"""Recipes: TOML files, checked at the door, as frozen values."""

from lorafit.recipe.layers import assignment, parse_assignment, read_layers
from lorafit.recipe.library import find_recipe, shipped_recipes
from lorafit.recipe.listing import RecipeSummary, list_recipes, select_recipes
from lorafit.recipe.read import differing_keys, read_recipe, read_section, recipe_hash, to_toml
from lorafit.recipe.sections import (
    SPLITS,
    DataSection,
    DecodeSection,
    EvalSection,
    MethodSection,
    ModelSection,
    PaperSection,
    Recipe,
    Section,
    Split,
    SweepSection,
    TaskSection,
    TrackSection,
    TrainSection,
)

__all__ = [
    "SPLITS",
    "DataSection",
    "DecodeSection",
    "EvalSection",
    "MethodSection",
    "ModelSection",
    "PaperSection",
    "Recipe",
    "RecipeSummary",
    "Section",
    "Split",
    "SweepSection",
    "TaskSection",
    "TrackSection",
    "TrainSection",
    "assignment",
    "differing_keys",
    "find_recipe",
    "list_recipes",
    "parse_assignment",
    "read_layers",
    "read_recipe",
    "read_section",
    "recipe_hash",
    "select_recipes",
    "shipped_recipes",
    "to_toml",
]
