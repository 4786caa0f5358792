"""Options that were refused, as one line: which option, the rule, the value; the parser draws a box over several."""

import re
from collections.abc import Iterator

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from infoplane.errors import broken_rule

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # on a terminal
_BORDER = re.compile(r"^[│|\s]+|[│|\s]+$")  # | and - where the terminal has no UTF-8
_RULE = re.compile(r"[│|╭╮╰╯├┤─+\-\s]*")
_HELP = re.compile(r"For full helptext|Argument helptext|Perhaps you meant|Arguments similar to")
_SIMILAR = re.compile(r"(?:Perhaps you meant|Arguments similar to \S+):\s*(--[\w.-]+)")


def refused_text(complaint: str) -> str:
    """Return the parser's boxed complaint as one line, without its title and the help of whole options."""
    lines = [_BORDER.sub("", line) for line in _COLOUR.sub("", complaint).splitlines()]
    lines = [line for line in lines if not _RULE.fullmatch(line)]
    text = " ".join(" ".join(lines[1:] or lines).split())  # the first is the title
    line = _HELP.split(text)[0]
    line = line.replace("Error parsing ", "").replace(" (required)", "")
    line = re.sub(r"invalid literal for int\(\) with base 10: ", "must be a whole number, got ", line)
    line = re.sub(r"could not convert string to float: ", "must be a number, got ", line)
    line = re.sub(r"^(--\S+): must", r"\1 must", line).rstrip(" .")
    if line.startswith("Unrecognized options: "):
        words = line.removeprefix("Unrecognized options: ").split(", ")  # values among them
        line = f"unknown option {', '.join([word for word in words if word.startswith('-')] or words)}"
    similar = _SIMILAR.search(text)
    return f"{line}, did you mean {similar[1]}?" if similar else line


def refused_values(error: ValidationError, options: type[BaseModel]) -> str:
    """Return the values that a model of `options` refused, e.g. "--training.epochs must be ..., got -3".

    Args:
        error: of `options` or of a model inside.
        options: all that can be typed.
    """
    model, prefix = next((one for one in _models(options) if one[0].__name__ == error.title), (options, ""))
    names = {name: _typed(name, field, prefix) for name, field in model.model_fields.items()}
    refused = []
    for refusal in error.errors():
        rule = broken_rule(refusal)
        if refusal["loc"]:
            rule = f"{names.get(str(refusal['loc'][0]), refusal['loc'][0])} {rule}"
        else:  # a rule about several fields, which names them
            fields = rf"(?<![\w.-])({'|'.join(names)})(?!\w)"
            rule = re.sub(fields, lambda found: names[found[0]], rule)
        refused.append(rule)
    return "; ".join(dict.fromkeys(refused))


def _models(options: type[BaseModel], prefix: str = "") -> Iterator[tuple[type[BaseModel], str]]:
    """The models whose fields are options, each with what stands before their names."""
    yield options, prefix
    for name, field in options.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            typed = _name(name, field)
            yield from _models(field.annotation, f"{prefix}{typed}." if typed else prefix)


def _typed(name: str, field: FieldInfo, prefix: str) -> str:
    return f"--{prefix}{_name(name, field)}".replace("_", "-")


def _name(field_name: str, field: FieldInfo) -> str:
    """The name that `tyro.conf.arg` gives to an option, or that of the field."""
    given = (getattr(one, "name", None) for one in field.metadata)
    return next((name for name in given if name is not None), field_name)
