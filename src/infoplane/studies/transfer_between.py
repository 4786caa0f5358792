"""Transfer between the networks of a finished run: its trainings, its seeds, and epochs where they were kept."""

import polars as pl
from torch import Tensor, nn

from infoplane.attacks import pgd_attack
from infoplane.measuring.transfer_matrix import transfer_matrix
from infoplane.randomness import seeded_generator
from infoplane.runs.attack_files import TRANSFERS, AttackFiles
from infoplane.runs.folder import RunFolder
from infoplane.runs.progress import Progress
from infoplane.studies.finished import FinishedRun

ATTACK = "pgd"  # whose examples are tested on other networks
MOST_EPOCHS = 4  # of each training


def networks_between(finished: FinishedRun, run: RunFolder) -> dict[str, tuple[int, str, int]]:
    """Return the networks of the matrix: (seed, training, epoch) by name.

    These are the finished networks. Where a run keeps its checkpoints (`--keep-checkpoints`), up to `MOST_EPOCHS`
    trained epochs of each training, the last among them, are taken, spaced by powers.
    """
    several = len({seed for seed, _ in finished.trainings}) > 1
    found = {}
    for seed, training in finished.trainings:
        kept = [epoch for epoch in run.checkpoint_epochs(seed, training) if epoch] or [0]
        epochs = _spaced(kept)
        for epoch in epochs:
            parts = [training, f"seed {seed}" if several else "", f"epoch {epoch}" if len(epochs) > 1 else ""]
            found[", ".join(filter(None, parts))] = (seed, training, epoch)
    return found


def _spaced(kept: list[int]) -> list[int]:
    last = kept[-1]
    goals = [last ** ((step + 1) / MOST_EPOCHS) for step in range(MOST_EPOCHS)]
    return sorted({min(kept, key=lambda epoch: abs(epoch - goal)) for goal in goals} | {last})


def transfer_between(finished: FinishedRun, run: RunFolder, chosen: Tensor) -> pl.DataFrame:
    """Return the transfer matrix of PGD between the networks of a run.

    Args:
        finished: the run.
        run: its folder.
        chosen: `(n,)` indices of the examples among the measured ones.

    Returns:
        Columns of `records.attacks.TRANSFER_SCHEMA`.
    """
    models: dict[str, nn.Module] = {
        name: finished.network(seed, training, epoch or None).model
        for name, (seed, training, epoch) in networks_between(finished, run).items()
    }
    table = transfer_matrix(
        models,
        pgd_attack(finished.config.attack),
        finished.images[chosen],
        finished.labels[chosen],
        generator=seeded_generator(finished.config.data.seed, "transfer matrix"),
    )
    named = table.with_columns(pl.lit(ATTACK).alias("attack"), pl.col("^success.*$").fill_nan(None))
    return named.match_to_schema(dict(TRANSFERS.schema))


def written_transfer_matrix(finished: FinishedRun, chosen: Tensor, run: RunFolder, progress: Progress) -> None:
    """Write the matrix to the run, if it does not have it for these networks and as many examples."""
    names, files = networks_between(finished, run), AttackFiles(run)
    known = files.read_matrix()
    if set(known["source"]) == set(names) and set(known["n"]) == {len(chosen)}:
        return
    progress.doing(f"transfer between {len(names)} networks")
    files.write_matrix(transfer_between(finished, run, chosen))
