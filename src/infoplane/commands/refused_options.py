"""Turn the parser's complaint about an option into one line with the option, the rule and the value."""

import difflib
import re

from pydantic import BaseModel, ValidationError

from infoplane.commands.option_names import models_of, option_names, typed_name
from infoplane.errors import broken_rule

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # on a terminal
_BORDER = re.compile(r"^[│|\s]+|[│|\s]+$")  # | and - where the terminal has no UTF-8
_RULE = re.compile(r"[│|╭╮╰╯├┤─+\-\s]*")
_HELP = re.compile(r"For full helptext|Argument helptext|Perhaps you meant|Arguments similar to")
_CHOICES = re.compile(r"Expected one of \(([^)]*)\)")
_SIMILAR = re.compile(r"(?:Perhaps you meant|Arguments similar to \S+):\s*(--[\w.-]+)")


def refused_text(complaint: str, options: type[BaseModel]) -> str:
    """Return the parser's boxed complaint as one line, without its title and the help of other options.

    Args:
        complaint: text of the parser.
        options: full names of all options; if only the last part of one was typed, it is suggested.
    """
    lines = [_BORDER.sub("", line) for line in _COLOUR.sub("", complaint).splitlines()]
    lines = [line for line in lines if not _RULE.fullmatch(line)]
    text = " ".join(" ".join(lines[1:] or lines).split())  # the first is the title
    line = _HELP.split(text)[0]
    line = line.replace("Error parsing ", "").replace(" (required)", "")
    line = re.sub(r"invalid literal for int\(\) with base 10: ", "must be a whole number, got ", line)
    line = re.sub(r"could not convert string to float: ", "must be a number, got ", line)
    line = _CHOICES.sub(lambda found: f"Expected one of {_in_order(found[1])}", line)
    line = re.sub(r"^(--\S+): must", r"\1 must", line).rstrip(" .")
    line = re.sub(r"^--[\w-]+/(--\S+)", r"\1", line)  # a short name, then the full one
    if line.startswith("Unrecognized options: "):
        words = line.removeprefix("Unrecognized options: ").split(", ")  # skips values
        words = [word.partition("=")[0] for word in words if word.startswith("-")] or words
        line = f"unknown option {', '.join(words)}"
        if meant := _meant(words, options):
            return f"{line}, did you mean {' or '.join(meant)}?"
    similar = _SIMILAR.search(text)
    return f"{line}, did you mean {similar[1]}?" if similar else line


def _in_order(choices: str) -> str:
    """Return choices such as "'9', 'None', '7'" as "7, 9": the parser has them in any order, and None if untyped."""
    names = [name for name in re.findall(r"'([^']*)'", choices) if name != "None"]
    return ", ".join(sorted(names, key=lambda name: (int(name) if name.isdecimal() else -1, name)))


def _meant(words: list[str], options: type[BaseModel]) -> list[str]:
    """Return the options that the user may have meant.

    These are all options whose last part was typed, e.g. --training.batch-size for --batch_size, else the nearest one.
    """
    names = option_names(options)
    last = {name: name.lstrip("-").rpartition(".")[2] for name in names}
    meant: list[str] = []
    for word in words:
        whole = word.replace("_", "-")
        part = whole.lstrip("-").rpartition(".")[2]
        near = difflib.get_close_matches(whole, names, 1, 0.8) or difflib.get_close_matches(part, last.values(), 1, 0.8)
        meant += [name for name in names if last[name] == part] or [
            name for name in names if name in near or last[name] in near
        ]
    return list(dict.fromkeys(meant))


def refused_values(error: ValidationError, options: type[BaseModel]) -> str:
    """Return the refused values of options as text, e.g. "--training.epochs must be ..., got -3".

    Args:
        error: validation error of `options` or of a model inside it.
        options: model of all options.
    """
    model, prefix = next((one for one in models_of(options) if one[0].__name__ == error.title), (options, ""))
    names = {name: typed_name(name, field, prefix) for name, field in model.model_fields.items()}
    refused = []
    for refusal in error.errors():
        rule = broken_rule(refusal)
        if refusal["loc"]:
            rule = f"{names.get(str(refusal['loc'][0]), refusal['loc'][0])} {rule}"
        else:  # a rule about several fields; its text names them
            fields = rf"(?<![\w.-])({'|'.join(names)})(?!\w)"
            rule = re.sub(fields, lambda found: names[found[0]], rule)
        refused.append(rule)
    return "; ".join(dict.fromkeys(refused))
