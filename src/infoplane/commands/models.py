"""Command `infoplane models`: list the networks, or the layers of one."""

from typing import TYPE_CHECKING, Annotated

import tyro

from infoplane.commands.common import Options, open_console
from infoplane.errors import unknown_name
from infoplane.models import catalogue
from infoplane.text import one_line

if TYPE_CHECKING:
    from torch import nn

    from infoplane.measuring.speed import Speed
    from infoplane.models.spec import ModelSpec

TIMED = 20  # images of which the time for 100 is worked out


class ModelsOptions(Options):
    """List the networks with their sizes, or the layers of one."""

    name: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[NAME]")] = None
    """A network whose layers and settings are shown; by default all networks are listed."""
    measure: bool = False
    """Time each network on this machine, with its usual images."""


def models(options: ModelsOptions) -> int:
    """Print the list of networks, or the layers and settings of one."""
    known = {model.name: model for model in catalogue.MODELS}
    if options.name is not None and options.name not in known:
        raise unknown_name("model", options.name, known)
    chosen = catalogue.MODELS if options.name is None else [known[options.name]]
    times = {spec.name: _timed(spec) for spec in chosen} if options.measure else {}
    _print_list(chosen, times)
    if options.name is not None:
        _print_one(chosen[0])
    return 0


def _built(spec: "ModelSpec") -> "nn.Module | None":
    """Return the network with its default settings for its usual images; None if it has none."""
    return None if spec.usual_images is None else spec.build(spec.usual_images, spec.checked({}))


def _timed(spec: "ModelSpec") -> "Speed | None":
    import torch

    from infoplane.measuring.speed import speed

    model = _built(spec)
    if model is None or spec.usual_images is None:
        return None
    if spec.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return speed(model, torch.rand(TIMED, *spec.usual_images.shape, generator=torch.Generator().manual_seed(0)))


def _print_list(chosen: "list[ModelSpec]", times: "dict[str, Speed | None]") -> None:
    from rich.table import Table

    timed = ["100 images", "and gradient"] if times else []
    table = Table("network", "what it is", title="infoplane flow RECIPE --model NAME")
    for column in ("parameters", "images", "classes", *timed):
        table.add_column(column, justify="right", no_wrap=True)
    for spec in chosen:
        usual, taken = spec.usual_images, times.get(spec.name)
        size = ["", ""] if usual is None else [" x ".join(map(str, usual.shape)), str(usual.classes)]
        parameters = "" if spec.parameters is None else f"{spec.parameters:,}"
        seconds = [f"{100 * one:.2g} s" for one in taken] if taken else [""] * len(timed)
        table.add_row(spec.name, one_line(spec.description), parameters, *size, *seconds)
    console = open_console()
    console.print(table)
    console.print(
        "parameters: with the default settings, for images of this shape (channels x height x width) and so many "
        "classes. infoplane models NAME lists layers and settings."
    )
    if times:
        console.print(f"Times are those of {TIMED} images on this machine, times {100 / TIMED:g}.")


def _print_one(spec: "ModelSpec") -> None:
    from infoplane.models.layer_table import layers

    if spec.source:
        print(f"\n{spec.source}")
    model = _built(spec)
    if model is not None:
        print(f"\n{layers(model)!r}")
    for name, field in spec.settings.model_fields.items():
        print(f"\n--model.{name.replace('_', '-')} (default {field.default})\n    {field.description}")
