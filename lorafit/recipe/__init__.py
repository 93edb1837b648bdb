"""Recipes: TOML files, checked at the door, as frozen values."""

from lorafit.recipe.library import RecipeSummary, find_recipe, list_recipes, shipped_recipes
from lorafit.recipe.read import differing_keys, parse_assignment, read_recipe, recipe_hash, to_toml
from lorafit.recipe.sections import (
    DataSection,
    DecodeSection,
    EvalSection,
    MethodSection,
    ModelSection,
    PaperSection,
    Recipe,
    Section,
    TaskSection,
    TrainSection,
)

__all__ = [
    "DataSection",
    "DecodeSection",
    "EvalSection",
    "MethodSection",
    "ModelSection",
    "PaperSection",
    "Recipe",
    "RecipeSummary",
    "Section",
    "TaskSection",
    "TrainSection",
    "differing_keys",
    "find_recipe",
    "list_recipes",
    "parse_assignment",
    "read_recipe",
    "recipe_hash",
    "shipped_recipes",
    "to_toml",
]
