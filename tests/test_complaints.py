"""An option that is refused is one line: which option, the rule and the value, in a pipe and on a terminal."""

from collections.abc import Iterator
from typing import Any, get_args

import annotated_types
import pytest
from pydantic import BaseModel
from tests.command import on_a_terminal

from infoplane.commands.cli import main
from infoplane.commands.flow import flow_options
from infoplane.commands.option_names import option_names
from infoplane.config import DistortionConfig

FLOW = ("flow", "digits-lenet5")
DISTORTION = ("distortion", "RUN")


def refused_limits(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Every limit of every option: the option, a value just beyond, and the rule."""
    for name, field in model.model_fields.items():
        option = f"{prefix}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from refused_limits(field.annotation, f"{option}.")
            continue
        for limit in (*field.metadata, *limits_of_items(field.annotation)):
            for attribute, beyond, words in (
                ("ge", -1, "greater than or equal to"),
                ("gt", 0, "greater than"),
                ("le", 1, "less than or equal to"),
                ("lt", 0, "less than"),
            ):
                if getattr(limit, attribute, None) is not None:
                    value = getattr(limit, attribute)
                    yield f"--{option}".replace("_", "-"), f"{value + beyond:g}", f"must be {words} {value:g}"


def limits_of_items(annotation: Any) -> Iterator[Any]:
    for part in get_args(annotation):
        if isinstance(part, annotated_types.BaseMetadata):
            yield part
        for limit in getattr(part, "metadata", ()):  # of Field, inside Annotated
            yield from getattr(limit, "metadata", [limit])
        yield from limits_of_items(part)


LIMITS = [
    *((FLOW, *limit) for limit in refused_limits(flow_options().model_fields["config"].annotation)),
    *((DISTORTION, *limit) for limit in refused_limits(DistortionConfig)),
]


def complaint(arguments: tuple[str, ...], capsys) -> str:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.endswith(f"; see infoplane {arguments[0]} --help")
    return line


def test_every_limit_is_tried():
    assert len(LIMITS) > 30
    assert {"--seeds", "--training.epochs", "--attack.epsilon"} < {option for _, option, _, _ in LIMITS}


@pytest.mark.parametrize(("command", "option", "value", "rule"), LIMITS, ids=lambda part: str(part))
def test_a_value_beyond_its_limit_is_refused_by_option_rule_and_value(command, option, value, rule, capsys):
    line = complaint((*command, option, value), capsys)
    assert line.startswith(f"infoplane: {option} {rule}, got {value}"), line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*DISTORTION, "--distortions"), "--distortions must name each distortion once, got none;"),
        (
            (*DISTORTION, "--distortions", "saturation", "saturation"),
            "--distortions must name each distortion once, got saturation saturation;",
        ),
        ((*FLOW, "--methods"), "--methods must name each training once, got none;"),
        ((*FLOW, "--model.mean"), "--model.mean must have at least 1 item, got none;"),
        ((*FLOW, "--training.gamma", "inf"), "--training.gamma must be a finite number, got inf;"),
        (
            (*FLOW, "--attack.steps", "1"),
            "--attack.steps = 1 of --attack.step-size = 0.0235294 cannot reach --attack.epsilon = 0.0941176; "
            "raise --attack.steps or --attack.step-size;",
        ),
        (("geometry", "--points", "5"), "--points must be greater than or equal to 100, got 5;"),
        ((*FLOW, "--seed", "a"), "--seed must be a whole number, got 'a';"),
        ((*FLOW, "--seed"), "Missing value for argument '--seed'"),
        ((*FLOW, "--training.epoch", "3"), "unknown option --training.epoch, did you mean --training.epochs?;"),
        ((*FLOW, "--batch-size", "3"), "unknown option --batch-size, did you mean --training.batch-size?;"),
        ((*FLOW, "--batch_size=3"), "unknown option --batch_size, did you mean --training.batch-size?;"),
        ((*FLOW, "--no-augment"), "unknown option --no-augment, did you mean --training.no-augment?;"),
        ((*FLOW, "--name", "x"), "unknown option --name, did you mean --data.name or --model.name?;"),
        ((*FLOW, "--epoch", "3"), "unknown option --epoch, did you mean --training.epochs?;"),
        ((*FLOW, "--learningrate", "1"), "unknown option --learningrate, did you mean --training.learning-rate?;"),
        ((*FLOW, "--recipe", "x"), "unknown option --recipe;"),
        ((*FLOW, "--epochs", "a"), "--training.epochs must be a whole number, got 'a';"),
        (("report",), "Missing from infoplane report: PATH Folder of the run;"),
    ],
)
def test_other_refusals_say_what_is_wrong_too(arguments, words, capsys):
    assert complaint(arguments, capsys).startswith(f"infoplane: {words}")


@pytest.mark.parametrize("option", [name for name in option_names(flow_options()) if "." in name])
def test_the_last_part_of_an_option_is_taken_or_suggests_the_whole(option, capsys):
    alone = f"--{option.rpartition('.')[2]}"
    if alone in ("--epochs", "--examples", "--seed"):  # --data.seed is not meant by --seed
        assert main((*FLOW, alone, "-1")) == 2
        assert "must be greater than or equal to" in capsys.readouterr().err
    elif alone == "--weights":
        assert main((*FLOW, alone, "w.pt")) == 2
        assert "--weights measures a network" in capsys.readouterr().err
    else:
        assert option in complaint((*FLOW, alone, "1"), capsys)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("--training.epoch", "3"),
            "unknown option --training.epoch, did you mean --training.epochs?; see infoplane flow --help",
        ),
        (
            ("--methods", "fre"),
            "--methods: unknown training method 'fre', did you mean 'free'?; training methods are normal, adversarial, "
            "fgsm, fgsm-rs, free, yopo, freelb, trades, mart, ensemble, vib, ceb, nib, hbar, adversarial-hbar, "
            "NAME+awp, package.module:function",
        ),
        (("--seeds", "0"), "--seeds must be greater than or equal to 1, got 0; see infoplane flow --help"),
    ],
)
def test_a_terminal_shows_the_same_line_without_colours_or_boxes(arguments, line, encoding):
    status, seen = on_a_terminal("-m", "infoplane", *FLOW, *arguments, PYTHONIOENCODING=encoding)
    assert (status, seen) == (2, f"infoplane: {line}\r\n")


def test_choices_are_listed_in_order_and_without_the_absent_one(capsys):
    assert main(["flow", "digits-lenet5", "--model", "bagnet", "--model.receptive-field", "8"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "Expected one of 7, 9, 11, 17, 19, 33;" in line
