"""Command `infoplane recipes`: list the recipes."""

from infoplane.commands.common import Options, open_console
from infoplane.recipes import RECIPES


class RecipesOptions(Options):
    """List the recipes and what each costs."""


def recipes(options: RecipesOptions) -> int:
    """Print the table of recipes."""
    del options
    from rich.table import Table

    table = Table("recipe", "what it is", "cost of its trainings, 2 CPU cores", title="infoplane flow RECIPE")
    for name, recipe in RECIPES.items():
        table.add_row(name, recipe.purpose, recipe.cost)
    open_console().print(table)
    return 0
