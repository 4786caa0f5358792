"""Figures of the page as HTML, each with what it shows in words."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

_CAPTIONS = {
    "geometry-sweeps": (
        "Study three: estimates of synthetic clouds whose information is known, against the spread of all points, the "
        "tightness of classes at one spread, the noise and the width of bins. What moves is geometry alone."
    ),
    "artefact-sweeps": (
        "Study three: the same estimates against the number of samples and of dimensions, with the truth."
    ),
    "four-clouds": ("Study three: four clouds of the same labels, and what the estimators say of each."),
    "transfer": (
        "Which class the network takes adversarial examples for, by their label, at the last epoch; right answers are "
        "framed. A cell gives the share of the row and the mean confidence, the softmax probability of the class "
        "named, both in per cent. The attack only pushes away from the label: where it ends is the network's own "
        "doing, and confidence is no measure of being right."
    ),
    "mistakes": (
        "Of the adversarial examples that the network misclassifies: what layers tell about the class that they are "
        "taken for and about their label, by decoders refitted to these examples and by those of originals, with 95 % "
        "intervals; below, along saturation, the same examples with the class that they were taken for before it. "
        "Refitted decoders read anything that goes with the class, the attack's traces too; decoders of originals "
        "only what looks like that class in originals, and fall below 0 where they are misled (a triangle: off the "
        "scale). Being taken for a class is what selects the examples: in the last layers much information about it "
        "is certain."
    ),
    "distortion-sheet": (
        "A few examples at every level, as they are and attacked (the attack first, then the distortion), and below "
        "each the class that the network takes it for; a cross marks a wrong one. The attack was made on the network "
        "named beside the row."
    ),
    "distortion-layers": (
        "Both informations over the levels of a distortion, layer by layer: the KL estimate at the fixed noise and at "
        "relative noise (relative to the undistorted examples, so the noise is the same at every level), and what "
        "decoders of undistorted originals read from distorted examples that they were not fitted on. A level that "
        "scatters the outputs of a layer raises I(X;T) and the KL-KL estimate of I(T;Y) without adding anything about "
        "the label: read them against the null and the decoders."
    ),
    "distortion": (
        "Accuracy, loss and both informations of the last layer over the levels of each distortion; the first level "
        "changes nothing, and distances between levels mean nothing. Colour: training, the first one's lines wider; "
        "solid: original examples, dashed: attacked ones (attacked first, then distorted). Pale: 95 % intervals over "
        "the examples, of this one seed; the loss has none. Saturated values (at the dashed ceiling) have no interval "
        "and cannot be compared. Relative noise is relative to the undistorted examples. Refitted decoders say "
        "whether the label can still be read from the layer, on attacked examples the attack's own handwriting "
        "included; decoders of undistorted originals say whether the network's own code survives, and fall below 0 "
        "where they are confidently wrong."
    ),
    "information-flow": (
        "Loss, accuracy, both informations against the layer's index (crosses: attacked examples, last epoch), and "
        "one information plane per layer and estimator. Circles are original examples, crosses attacked ones; colour "
        "is the epoch. Dashed lines are ceilings, the shaded band holds what permuted labels reach. All planes of an "
        "estimator share their axes."
    ),
    "trusted": (
        "Top: the plane of noisy I(X;T), the value between the KDE bounds at relative noise (at the fixed one in runs "
        "without it), and decoded I(T;Y), what held-out decoders read. Below: each over epochs. Bars are 95 % "
        "intervals. Hatched: within 3 nats of its ceiling a noisy I(X;T) falls short for want of samples. Decoded "
        "I(T;Y) is a lower bound, usable (V-)information: it may grow with depth, and no data-processing inequality "
        "holds for it. On attacked examples, refitted decoders also read the label that a white-box attack leaks; "
        "decoders of the originals, applied to attacked examples that they were not fitted on, do not, and fall below "
        "0 where they are confidently wrong (triangles: below the axis). Grey: what permuted labels reach, at the "
        "last epoch."
    ),
    "relative-noise": (
        "The KDE planes once more, with noise in proportion to the variance of each layer, for each epoch and kind of "
        "examples: a layer that merely scales its outputs does not move here."
    ),
    "noise-sweep": (
        "Both informations at the last epoch against the variance of the noise they are measured with. Above: between "
        "the KDE bounds of I(X;T), with the noisy value at the fixed and at the relative noise. Below: the KL-KL and "
        "BD-BD estimates of I(T;Y) before what permuted labels reach on original examples (darker: the lower of the "
        "two nulls), and the decoded lower bound with its 95 % interval, which needs no noise. Vertical lines: the "
        "fixed noise, and the relative one of original examples."
    ),
    "class-entropies": (
        "Entropy of the noisy layer, less that of the noise, over all examples (black) and within each class, over "
        "epochs. Upper rows: original examples; lower rows: attacked examples, from their own records. Dashed: "
        "ceilings."
    ),
    "comparison": (
        "Both informations over epochs, layer by layer. Colour: training; solid: original examples, dashed: attacked "
        "ones, dotted: attacked ones read by decoders of the originals (drawn at 0 where they are negative). The "
        "wider of two lines that lie on each other is the first training's. Bars: 95 % intervals of noisy and decoded "
        "values. Findings rest on KDE (BD) at relative noise and on decoded I(T;Y). Shaded: what permuted labels "
        "reach."
    ),
    "seeds-information": (
        "Both informations over epochs. Lines: means over seeds; bands: from the lowest to the highest seed, which is "
        "no interval and grows with their number. All seeds see the same examples, so a band shows how trainings "
        "differ and says nothing of the choice of examples. Findings rest on I(X;T) by the KDE lower bound at "
        "relative noise and on decoded I(T;Y)."
    ),
    "seeds-performance": (
        "Accuracy and loss over epochs. Lines: means over seeds; bands: from the lowest to the highest seed."
    ),
    "geometry": (
        "Root mean square norm of the activations, mean variance per unit (dotted: the fixed noise variance), class "
        "clustering index (the share of the variance between classes, 0 by chance), and debiased linear CKA of "
        "attacked with original examples. Information measured with fixed noise follows the scale of the activations: "
        "read it beside these."
    ),
}


def figures_html(paths: Sequence[Path], folder: Path | None = None) -> str:
    """Return every PNG among `paths` inside the page, with its caption.

    Args:
        paths: of figures; others are passed over.
        folder: of the report; a PDF below it is named relative to it. None names the PDF alone.
    """
    figures = []
    for path in paths:
        if path.suffix != ".png":
            continue
        kind = next((kind for kind in _CAPTIONS if path.name.startswith(kind)), "")
        title = path.stem.replace("-", " ").capitalize()
        pdf = path.with_suffix(".pdf")
        place = pdf.name if folder is None else str(pdf.relative_to(folder) if pdf.is_relative_to(folder) else pdf)
        image = base64.b64encode(path.read_bytes()).decode()
        figures.append(
            f'<figure><img alt="{escape(title)}. {escape(_CAPTIONS.get(kind, ""))}" '
            f'src="data:image/png;base64,{image}"><figcaption><strong>{escape(title)}.</strong> '
            f"{escape(_CAPTIONS.get(kind, ''))} Also in <code>{escape(place)}</code>."
            "</figcaption></figure>"
        )
    return "".join(figures) or "<p>Nothing has been recorded yet, so there is nothing to draw.</p>"
