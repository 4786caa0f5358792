"""Write docs/api/: a page for each public module, from the signatures and docstrings in src: python docs/make_api.py"""

import ast
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).parents[1] / "src"
PAGES = Path(__file__).parent / "api"
MODULES = (
    "infoplane",
    "infoplane.attacks",
    "infoplane.data",
    "infoplane.distortions",
    "infoplane.estimators",
    "infoplane.estimators.tasks",
    "infoplane.models",
    "infoplane.training",
    "infoplane.measuring",
    "infoplane.studies",
    "infoplane.findings",
    "infoplane.records",
    "infoplane.runs",
    "infoplane.config",
    "infoplane.recipes",
    "infoplane.errors",
    "infoplane.acceleration",
    "infoplane.loops.lightning",
    "infoplane.loops.transformers",
    "infoplane.loops.trackers",
)
INHERITED = ("Plane",)  # classes whose methods are shown with those of their subclasses too
WIDTH = 100
MADE = "<!-- Made by docs/make_api.py from the docstrings: change these, and run it again. -->"
SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises")
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Definition(NamedTuple):
    """A public name, and where it is defined."""

    name: str
    module: str
    node: ast.stmt | None  # None for a module
    lines: list[str]  # of its file


@cache
def parsed(path: Path) -> tuple[ast.Module, str]:
    """Return the syntax tree of a file, and its text."""
    text = path.read_text("utf-8")
    return ast.parse(text), text


@cache
def path_of(module: str) -> Path:
    """Return the file of a module: of a package its stub, if there is one."""
    base = SOURCE.joinpath(*module.split("."))
    candidates = (base / "__init__.pyi", base / "__init__.py", base.with_suffix(".py"))
    return next(path for path in candidates if path.is_file())


def docstring_of(module: str) -> str:
    return ast.get_docstring(parsed(path_of(module).with_suffix(".py"))[0]) or ""


@cache
def definitions(module: str) -> list[Definition]:
    """Return the public names of a module, in alphabetical order: those of its stub, or of its `__all__`."""
    path = path_of(module)
    tree, _ = parsed(path)
    targets = [node for node in tree.body if isinstance(node, ast.Assign) and _assigned(node) == ["__all__"]]
    if path.suffix == ".pyi":
        names = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    else:
        names = ast.literal_eval(targets[0].value)
    return [_definition(module, name) for name in sorted(names, key=lambda name: (name.casefold(), name))]


def _definition(module: str, name: str) -> Definition:
    """Follow the imports of a name to the statement that defines it."""
    tree, text = parsed(path_of(module))
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and node.name == name:
            return Definition(name, module, node, text.splitlines())
        if isinstance(node, ast.Assign | ast.AnnAssign) and name in _assigned(node):
            return Definition(name, module, node, text.splitlines())
        if isinstance(node, ast.ImportFrom) and any(name == (one.asname or one.name) for one in node.names):
            if node.level and node.module is None:
                return Definition(name, f"{module}.{name}", None, [])
            return _definition(f"{module}.{node.module}" if node.level else str(node.module), name)
    raise LookupError(f"{module} does not define {name}")


def _assigned(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]


def is_constant(one: Definition) -> bool:
    return isinstance(one.node, ast.Assign | ast.AnnAssign)


# code


def signature(function: Function, name: str = "") -> str:
    """Return a function as one would write it, a parameter per line where one line is too long."""
    decorators = "".join(
        f"@{ast.unparse(one)}\n" for one in function.decorator_list if "with_short_repr" not in ast.unparse(one)
    )
    returns = f" -> {ast.unparse(function.returns).strip(chr(39))}" if function.returns else ""
    arguments = [_quoted(one) for one in _arguments(function.args)]
    head = f"{name or function.name}("
    line = f"{head}{', '.join(arguments)}){returns}"
    if len(line) > WIDTH:
        line = "\n".join([head, *(f"    {one}," for one in arguments), f"){returns}"])
    return decorators + line


def _quoted(argument: str) -> str:
    """Leave out the quotation marks around an annotation that waits for its import."""
    return re.sub(r": '([^']*)'", r": \1", argument)


def _arguments(arguments: ast.arguments) -> Iterator[str]:
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    for argument, default in zip(positional, defaults, strict=True):
        if argument.arg not in ("self", "cls"):
            yield _argument(argument, default)
    if arguments.vararg:
        yield f"*{ast.unparse(arguments.vararg)}"
    elif arguments.kwonlyargs:
        yield "*"
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _argument(argument, default)
    if arguments.kwarg:
        yield f"**{ast.unparse(arguments.kwarg)}"


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    shown = ast.unparse(argument)
    return shown if default is None else f"{shown} = {ast.unparse(default)}"


def class_code(one: Definition) -> str:
    """Return a class as it is built: its own `__init__`, or its fields as they stand in the source."""
    node = one.node
    assert isinstance(node, ast.ClassDef)
    decorators = [ast.unparse(each) for each in node.decorator_list if "dataclass" in ast.unparse(each)]
    bases = ", ".join(ast.unparse(base) for base in (*node.bases, *(keyword.value for keyword in node.keywords)))
    head = [*(f"@{each}" for each in decorators), f"class {node.name}({bases}):" if bases else f"class {node.name}:"]
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            return signature(statement, node.name)
    if not (fields := _fields(node, one.lines)):
        head[-1] += " ..."
    return "\n".join([*head, *fields])


def _fields(node: ast.ClassDef, lines: list[str]) -> list[str]:
    """Return the lines of the public fields, each with its comment or docstring."""
    shown: list[str] = []
    public = False
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign | ast.Assign):
            public = not any(name.startswith(("_", "model_config")) for name in _assigned(statement))
        elif not (public and isinstance(statement, ast.Expr) and statement is not node.body[0]):
            public = False
        if public:
            shown += lines[statement.lineno - 1 : statement.end_lineno]
    return shown


def constant_lines(one: Definition) -> list[str]:
    """Return a constant with the comment above it: its line of the source, or the name alone where there are many."""
    assert one.node is not None
    first = one.node.lineno - 1
    above = []
    while one.lines[first - len(above) - 1].startswith("#"):
        above.insert(0, one.lines[first - len(above) - 1])
    if one.node.end_lineno == one.node.lineno:
        return [*above, one.lines[first]]
    annotation = f": {ast.unparse(one.node.annotation)}" if isinstance(one.node, ast.AnnAssign) else ""
    return [*above, f"{', '.join(_assigned(one.node)) if not annotation else one.name}{annotation}"]


# prose


def markdown(docstring: str) -> str:
    """Return a docstring in Google's style as Markdown of lines of at most 100 characters."""
    blocks = []
    for block in re.split(r"\n\n+", docstring):
        title, _, body = block.partition("\n")
        if title.rstrip(":") in SECTIONS and title.endswith(":"):
            blocks.append(f"**{title}**\n\n{_section(textwrap.dedent(body))}")
        elif block.startswith(("- ", "    ")):
            blocks.append(_list(block))
        else:
            blocks += [_list(part) if part.startswith("- ") else _wrapped(part) for part in _parts(block)]
    return "\n\n".join(blocks)


def _parts(block: str) -> list[str]:
    """Divide a paragraph from a list that follows it at once."""
    prose, mark, items = block.partition("\n- ")
    return [prose, f"- {items}"] if mark else [prose]


def _section(body: str) -> str:
    """Items "name: text" as a list; a section without such items as a paragraph."""
    items = re.split(r"\n(?=\S)", body)
    if all(re.match(r"[\w*, ]+:\s", item) for item in items):
        return "\n".join(_item(*re.split(r":\s+", item, maxsplit=1)) for item in items)
    return _wrapped(body)


def _item(name: str, text: str) -> str:
    return _wrapped(f"`{name}`: {text}", first="- ", rest="  ")


def _list(block: str) -> str:
    items = re.split(r"\n(?=- )", textwrap.dedent(block))
    return "\n".join(_wrapped(item.removeprefix("- "), first="- ", rest="  ") for item in items)


def _escaped(text: str) -> str:
    """Keep Markdown from reading signs of formulae as its own, outside of code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([*<\[\]_|])", r"\\\1", part) for part in parts)


def _wrapped(text: str, first: str = "", rest: str = "") -> str:
    lines = textwrap.wrap(
        _escaped(" ".join(text.split())),
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    # what a line of prose must not begin with: it would be a list or a heading
    return "\n".join([lines[0], *(re.sub(r"^( *)(?=[-+#>] |\d+\.)", r"\1\\", line) for line in lines[1:])])


# pages


def file_name(module: str) -> str:
    return f"{module.removeprefix('infoplane.')}.md"


def page(module: str) -> str:
    """Return the page of a module."""
    found = definitions(module)
    parts = [MADE, f"# {module}", markdown(docstring_of(module))]
    if modules := [one for one in found if one.node is None]:
        parts.append("## Modules")
        parts.append("\n".join(f"- [{one.module}]({file_name(one.module)})" for one in modules))
    if own := [one for one in found if isinstance(one.node, Function | ast.ClassDef)]:
        parts += ["## Functions and classes", *(entry(one) for one in own)]
    if constants := [one for one in found if is_constant(one)]:
        lines = dict.fromkeys(tuple(constant_lines(one)) for one in constants)
        code = "\n".join(line for group in lines for line in group)
        parts += ["## Constants", f"```python\n{code}\n```"]
    return "\n\n".join(parts) + "\n"


def entry(one: Definition) -> str:
    """Return the part of a page about a function or a class, with its methods."""
    node = one.node
    assert isinstance(node, Function | ast.ClassDef)
    code = class_code(one) if isinstance(node, ast.ClassDef) else signature(node)
    parts = [f"### {one.name}", f"```python\n{code}\n```", markdown(ast.get_docstring(node) or "")]
    for method in methods(one) if isinstance(node, ast.ClassDef) else []:
        parts.append(f"#### `{one.name}.{method.name}`")
        parts.append(f"```python\n{signature(method)}\n```")
        parts.append(markdown(ast.get_docstring(method) or ""))
    return "\n\n".join(part for part in parts if part)


def methods(one: Definition) -> list[Function]:
    """Return the public methods of a class, then those that it inherits from a class in `INHERITED`."""
    assert isinstance(one.node, ast.ClassDef)
    found = [method for method in one.node.body if isinstance(method, Function) and _shown(method)]
    for base in one.node.bases:
        if isinstance(base, ast.Name) and base.id in INHERITED:
            known = {method.name for method in found}
            found += [method for method in methods(_definition(one.module, base.id)) if method.name not in known]
    return found


def _shown(method: Function) -> bool:
    return not method.name.startswith("_") or (method.name == "__call__" and bool(ast.get_docstring(method)))


def index() -> str:
    """Return the page that lists all public names."""
    intro = (
        "These pages list all that a program may import from infoplane. Other names are private, also where they have "
        "no underscore: they can change in any version."
    )
    parts = [
        MADE,
        "# Public API",
        f"{_wrapped(intro)}\n[Stability](../stability.md) says what the public names promise.",
    ]
    for module in MODULES:
        summary = docstring_of(module).partition("\n")[0]
        parts.append(f"## [{module}]({file_name(module)})\n\n{_wrapped(summary)}")
        found = definitions(module)
        lines = [_line(one, module) for one in found if one.node is not None and not is_constant(one)]
        if constants := [f"`{one.name}`" for one in found if is_constant(one)]:
            lines.append(_linked("constants", f"{file_name(module)}#constants", ", ".join(constants)))
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _line(one: Definition, module: str) -> str:
    assert isinstance(one.node, Function | ast.ClassDef)
    summary = (ast.get_docstring(one.node) or "").partition("\n")[0]
    return _linked(one.name, f"{file_name(module)}#{one.name.lower()}", summary)


def _linked(name: str, place: str, text: str) -> str:
    """Return an item of a list that begins with a link."""
    # The link stands in for itself while the lines are broken, since its brackets must not be escaped.
    link = f"[{name}]({place})"
    item = _wrapped(f"{'x' * len(link)}: {text}", first="- ", rest="  ")
    return item.replace("x" * len(link), link, 1)


def pages() -> dict[str, str]:
    """Return all pages by the names of their files."""
    return {"README.md": index(), **{file_name(module): page(module) for module in MODULES}}


if __name__ == "__main__":
    PAGES.mkdir(exist_ok=True)
    made = pages()
    for stale in set(PAGES.glob("*.md")) - {PAGES / name for name in made}:
        stale.unlink()
    for name, text in made.items():
        (PAGES / name).write_text(text, "utf-8")
