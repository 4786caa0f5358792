"""The public names: they are complete, they are described, and the pages in docs/api show what the code says."""

import ast
import importlib
import importlib.util
import inspect
import pydoc
import re
from pathlib import Path

import pytest
from tests.docs.notebooks import NOTEBOOKS, cells_of

import infoplane

REPOSITORY = Path(__file__).parents[1]
PAGES = REPOSITORY / "docs" / "api"
_SPEC = importlib.util.spec_from_file_location("make_api", REPOSITORY / "docs" / "make_api.py")
make_api = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(make_api)

DEFINED = {module: make_api.definitions(module) for module in make_api.MODULES}
DESCRIBED = [one for found in DEFINED.values() for one in found if one.node and not make_api.is_constant(one)]


def described():
    """Every public function and class, and their public methods, as (name, node)."""
    for one in DESCRIBED:
        yield one.name, one.node
        for method in one.node.body if isinstance(one.node, ast.ClassDef) else []:
            if isinstance(method, ast.FunctionDef) and make_api._shown(method):
                yield f"{one.name}.{method.name}", method


def section(docstring, title):
    found = re.search(rf"^{title}:\n((?:    .*\n|\n)+)", docstring + "\n", flags=re.MULTILINE)
    return found[1] if found else ""


def items(docstring, title):
    """Return the names that a section of a docstring explains."""
    heads = re.findall(r"^    (\w[\w*, ]*):\s", section(docstring, title), flags=re.MULTILINE)
    return {name.strip(" *") for head in heads for name in head.split(",")}


def parameters(node):
    """Return the parameters of a function or of the `__init__` of a class."""
    if isinstance(node, ast.ClassDef):
        node = next((one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"), None)
    if node is None:
        return set()
    given = node.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
    return {one.arg for one in every} - {"self", "cls"}


def used_names(code):
    """Return the modules and names of infoplane that a piece of code takes."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "infoplane":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and re.match(r"infoplane(\.\w+)+$", ast.unparse(node)):
            yield ast.unparse(node)


def test_pages_show_what_the_code_says():
    made = make_api.pages()
    assert {path.name for path in PAGES.iterdir()} == set(made), "run python docs/make_api.py"
    stale = [name for name, text in made.items() if (PAGES / name).read_text("utf-8") != text]
    assert stale == [], "run python docs/make_api.py"


@pytest.mark.parametrize("module", make_api.MODULES)
def test_public_names_of_a_module_are_those_of_its_page(module):
    room = importlib.import_module(module)
    assert sorted(room.__all__) == sorted({one.name for one in DEFINED[module]} | _stated(module))
    assert [name for name in room.__all__ if not hasattr(room, name)] == []


def _stated(module):
    return {"__version__"} & set(importlib.import_module(module).__all__)


def test_every_public_module_is_reached_from_infoplane():
    outermost = {module.split(".")[1] for module in make_api.MODULES if module.count(".") == 1}
    assert outermost == {name for name in infoplane.__all__ if inspect.ismodule(getattr(infoplane, name))}


def test_documentation_and_examples_take_public_names_alone():
    code = [path.read_text("utf-8") for path in (REPOSITORY / "examples").glob("*.py")]
    code += [path.read_text("utf-8") for path in (REPOSITORY / "docs" / "results").glob("*.py")]
    code += ["".join(cell["source"]) for name in NOTEBOOKS for cell in cells_of(name) if cell["cell_type"] == "code"]
    pages = [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]
    code += [
        block
        for page in pages
        for block in re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    ]
    public = {f"{module}.{one.name}" for module, found in DEFINED.items() for one in found}
    used = {name for block in code for name in used_names(block)}
    assert "infoplane.estimators.decoded_information" in used
    assert used - public == set()


def test_every_docstring_begins_with_a_sentence():
    firsts = {name: (ast.get_docstring(node) or "").partition("\n")[0] for name, node in described()}
    assert {name: first for name, first in firsts.items() if not re.match(r"[A-Z`\d].*[.:]$", first)} == {}


def test_every_public_module_begins_with_a_sentence():
    firsts = {module: make_api.docstring_of(module).partition("\n")[0] for module in make_api.MODULES}
    assert {module: first for module, first in firsts.items() if not re.match(r"[A-Z].*\.$", first)} == {}


def test_arguments_are_explained_all_or_none():
    wrong = {}
    for name, node in described():
        explained, taken = items(ast.get_docstring(node) or "", "Args"), parameters(node)
        if explained and taken and explained != taken:
            wrong[name] = (taken - explained, explained - taken)
    assert wrong == {}


def test_every_constant_is_a_word_or_has_a_comment():
    constants = [one for found in DEFINED.values() for one in found if make_api.is_constant(one)]
    lines = {one.name: "\n".join(make_api.constant_lines(one)) for one in constants}
    assert [name for name, text in lines.items() if not re.search(r"# | = \"", text)] == []


@pytest.mark.parametrize("module", make_api.MODULES)
def test_help_explains_the_fields_of_named_tuples(module):
    room = importlib.import_module(module)
    unexplained = [
        f"{name}.{field}"
        for name in room.__all__
        for field in getattr(getattr(room, name), "_fields", ())
        if "Alias for field number" in (getattr(getattr(room, name), field).__doc__ or "")
    ]
    assert unexplained == []
    classes = [getattr(room, name) for name in room.__all__ if hasattr(getattr(room, name), "_fields")]
    assert [one.__name__ for one in classes if "Alias for field" in pydoc.render_doc(one)] == []


def test_generators_are_given_by_name():
    functions = [one for one in DESCRIBED if isinstance(one.node, ast.FunctionDef)]
    assert [one.name for one in functions if "generator" in {each.arg for each in one.node.args.args}] == []
