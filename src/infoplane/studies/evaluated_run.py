"""The networks of a finished run, as subjects of an evaluation."""

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from infoplane.studies.finished import FinishedNetwork, FinishedRun
from infoplane.studies.network_evaluation import Subject


def subjects_of(finished: FinishedRun) -> list[Subject]:
    """Return the last network of each training and, where held-out images chose an earlier epoch, the best one.

    The source of transfer attacks is the same training with another seed, or else another training of the same seed,
    or else any other network, always at its last epoch.

    Raises:
        UserError: a checkpoint is damaged.
    """
    last = {one: _subject(finished, finished.network(*one), "last") for one in finished.trainings}
    subjects = []
    for seed, training in finished.trainings:
        other = _source(seed, training, finished.trainings)
        own = [last[seed, training]]
        best = finished.best_network(seed, training)
        if best is not None and best.epoch != own[0].epoch:
            own.append(_subject(finished, best, "best"))
        subjects += [replace(one, source=other and last[other]) for one in own]
    return subjects


def _subject(finished: FinishedRun, network: FinishedNetwork, checkpoint: str) -> Subject:
    seed, training = network.seed, network.training

    def load() -> nn.Module:
        found = finished.network(seed, training) if checkpoint == "last" else finished.best_network(seed, training)
        assert found is not None, "a best checkpoint does not disappear"
        return found.model

    return Subject(
        key=f"s{seed}-{training}-{checkpoint}",
        name=f"{training} training, seed {seed}, {checkpoint} checkpoint (epoch {network.epoch})",
        load=load,
        seed=seed,
        training=training,
        checkpoint=checkpoint,
        epoch=network.epoch,
    )


def _source(seed: int, training: str, trainings: Sequence[tuple[int, str]]) -> tuple[int, str] | None:
    """Return the network on which examples for another one are made; None if there is no other."""
    others = [one for one in trainings if one != (seed, training)]
    return min(others, key=lambda one: (one[1] != training, one[0] != seed), default=None)
