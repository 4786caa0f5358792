"""Evaluation: the accuracy of networks under a suite of attacks, and alarms of gradient masking (docs/evaluation.md).

All networks are attacked on the same test images, the cheapest attack first. The folder of an evaluation holds a file
for each network and attack, `evaluation.json` and `evaluation.parquet`.
"""

from collections.abc import Sequence
from typing import Any

import polars as pl
from torch import Tensor

from infoplane.attacks.contract import Ball
from infoplane.data import ImageSet, stratified_indices
from infoplane.networks.memory_format import as_pixels
from infoplane.randomness import seeded_generator
from infoplane.records.evaluation import EVALUATION_FILE, EVALUATION_TABLE, Evaluation
from infoplane.robustness.suites import CURVE_DESCRIPTION, SUITES, usable
from infoplane.runs.folder import RunFolder
from infoplane.runs.progress import Progress
from infoplane.studies.network_evaluation import NetworkStudy, Subject
from infoplane.studies.path_evaluation import Images, Setting


def chosen_images(test: ImageSet, number: int, seed: int, pixels: Tensor | None = None) -> Images:
    """Return a stratified choice of the test images.

    Args:
        test: all test images, uint8.
        number: of images; all where there are fewer.
        seed: decides the choice and the random draws of attacks.
        pixels: all test images as float32 in [0, 1], where bytes round them.
    """
    chosen = stratified_indices(test.labels, number, generator=seeded_generator(seed, "evaluated examples"))
    places = chosen.to(test.images.device)
    return Images(
        pixels=as_pixels((test.images if pixels is None else pixels)[places]),
        labels=test.labels[places],
        indices=chosen,
        seed=seed,
    )


def evaluate_networks(
    subjects: Sequence[Subject],
    images: Images,
    folder: RunFolder,
    *,
    suite: str,
    ball: Ball,
    classes: int,
    progress: Progress,
    **about: Any,
) -> Evaluation:
    """Attack all networks, and write `evaluation.json` and `evaluation.parquet`.

    Args:
        subjects: the networks.
        images: the images.
        folder: of the evaluation, locked and begun.
        suite: name in `SUITES`.
        ball: in which a changed image counts against a network.
        classes: number of classes.
        progress: shows how far it is.
        about: fields of `Evaluation` about the networks' origin.

    Raises:
        UserError: a network or an attack breaks its contract, or a result of an attack was changed.
    """
    with_source = all(one.source is not None for one in subjects)
    attacks, left_out = usable(SUITES[suite], norm=ball.norm, classes=classes, with_source=with_source)
    for reason in left_out:
        progress.say(f"left out: {reason}")
    setting = Setting(attacks=attacks, ball=ball, images=images, folder=folder, progress=progress)
    studies = [NetworkStudy(one, setting) for one in subjects]
    progress.begin(sum(study.work_ahead() for study in studies))
    found = [study.go() for study in studies]
    evaluation = Evaluation(
        suite=suite,
        norm=ball.norm,
        epsilon=ball.epsilon,
        examples=len(images.labels),
        interval="95 %, Wilson (1927)",
        curve_attack=CURVE_DESCRIPTION,
        left_out=left_out,
        networks=[one for one, _ in found],
        **about,
    )
    folder.write_file(folder.path / EVALUATION_FILE, (evaluation.model_dump_json(indent=2) + "\n").encode())
    folder.write_table(folder.path / EVALUATION_TABLE, pl.concat(table for _, table in found))
    return evaluation
