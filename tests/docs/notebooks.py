"""Running a notebook without a kernel: its cells of code, one after the other, in one namespace."""

import ast
import json
from pathlib import Path
from typing import Any

from tests.docs.pages import REPOSITORY

EXAMPLES = REPOSITORY / "examples"
NOTEBOOKS = sorted(path.name for path in EXAMPLES.glob("*.ipynb"))


def cells_of(name: str) -> list[dict[str, Any]]:
    return json.loads((EXAMPLES / name).read_text("utf-8"))["cells"]


def run_notebook(name: str, folder: Path, **parameters: object) -> dict[str, Any]:
    """Run a notebook in a folder, with other values for names that its cell `parameters` sets.

    Returns:
        The names that the notebook has defined at its end.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(cells_of(name)):
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]), f"{name}, cell {number}")
        shown = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"{name}, cell {number}", "exec"), namespace)
        if shown is not None:  # a notebook shows the value of a last expression
            value = eval(compile(ast.Expression(shown.value), f"{name}, cell {number}", "eval"), namespace)
            getattr(value, "_repr_html_", value.__repr__)()
        if "parameters" in cell["metadata"].get("tags", ()):
            assert parameters.keys() <= namespace.keys(), (parameters, name)
            namespace.update(parameters)
    return namespace
