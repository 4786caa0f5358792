"""Short names of layers in figures: cut, and still different from each other."""

from collections.abc import Callable, Sequence


def short_layers(names: Sequence[str], longest: int) -> list[str]:
    """Return names of at most `longest` letters; different layers keep different names.

    A long name is shown by its end, which differs between the layers of a block. Where two layers would then look the
    same, all long names are shown by their first parts, or else by their beginning, by both ends, or by the place among
    the layers.

    Args:
        names: of the layers, from input to output.
        longest: letters, at least 5.
    """
    half = longest // 2
    ways: tuple[Callable[[str, int], str], ...] = (
        lambda name, _: "…" + name[1 - longest :],
        lambda name, _: name.split(".")[0] + "…",
        lambda name, _: ".".join(name.split(".")[:2]) + "…",
        lambda name, _: name[: longest - 1] + "…",
        lambda name, _: name[: longest - 1 - half] + "…" + name[-half:],
        lambda name, place: f"{place + 1}…" + name[len(str(place + 1)) + 1 - longest :],
    )
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    short: dict[str, str] = {}
    for way in ways:
        short = {name: name if len(name) <= longest else way(name, place) for name, place in places.items()}
        if len(set(short.values())) == len(places) and max(map(len, short.values()), default=0) <= longest:
            break
    return [short[name] for name in names]
