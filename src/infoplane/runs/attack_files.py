"""Files of `infoplane attacks` in the folder of a run: they are apart, so that other studies do not read them."""

from pathlib import Path
from typing import NamedTuple

import polars as pl

from infoplane.records.attacks import ATTACK_OUTCOME_SCHEMA, TRANSFER_SCHEMA, AttackOutcome, TransferOutcome
from infoplane.records.tables import NORMAL_TRAINING
from infoplane.runs.folder import RunFolder
from infoplane.runs.parquet import MEASUREMENTS, Kind

OUTCOMES = Kind(ATTACK_OUTCOME_SCHEMA, AttackOutcome)
TRANSFERS = Kind(TRANSFER_SCHEMA, TransferOutcome)
_AGAIN = "delete it and run infoplane attacks again"


class Traces(NamedTuple):
    """What `infoplane attacks` found: of all networks, or of one."""

    measurements: pl.DataFrame  # columns of `records.MEASUREMENT_SCHEMA`
    outcomes: pl.DataFrame  # columns of `records.attacks.ATTACK_OUTCOME_SCHEMA`

    def about(self, seed: int, training: str) -> "Traces":
        """Return the records of one network."""
        own = (pl.col("seed") == seed) & (pl.col("training") == training)
        return Traces(self.measurements.filter(own), self.outcomes.filter(own))


class AttackFiles:
    """The folder `attacks` of a run: two tables per network, and the transfer matrix.

    Args:
        run: folder of the run.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run, self.path = run, run.path / "attacks"

    def _path(self, table: str, seed: int, training: str) -> Path:
        return self.path / f"{table}-s{seed}-{training}.parquet"

    def write(self, seed: int, training: str, found: Traces) -> None:
        """Write the tables of one network; its outcomes last: a network with outcomes is whole."""
        self._run.write_table(self._path("measurements", seed, training), found.measurements)
        self._run.write_table(self._path("outcomes", seed, training), found.outcomes)

    def read(self, seed: int, training: str) -> Traces:
        """Return the tables of one network, empty where it is not whole.

        Raises:
            UserError: a table is damaged.
        """
        measurements, outcomes = (self._path(table, seed, training) for table in ("measurements", "outcomes"))
        if not (measurements.is_file() and outcomes.is_file()):
            return Traces(pl.DataFrame(schema=MEASUREMENTS.schema), pl.DataFrame(schema=OUTCOMES.schema))
        return _whole(
            self._run.read_table(measurements, MEASUREMENTS, _AGAIN), self._run.read_table(outcomes, OUTCOMES, _AGAIN)
        )

    def read_all(self) -> Traces:
        """Return the tables of all networks together, by seed, normal training first.

        Raises:
            UserError: a table is damaged.
        """
        names = [path.stem.removeprefix("outcomes-s") for path in self.path.glob("outcomes-s*.parquet")]
        networks = [(int(seed), training) for seed, _, training in (name.partition("-") for name in names)]
        ordered = sorted(networks, key=lambda network: (network[0], network[1] != NORMAL_TRAINING, network[1]))
        parts = [self.read(seed, training) for seed, training in ordered]
        empty = Traces(pl.DataFrame(schema=MEASUREMENTS.schema), pl.DataFrame(schema=OUTCOMES.schema))
        return Traces(*(pl.concat([part[place] for part in [empty, *parts]]) for place in range(2)))

    @property
    def _matrix(self) -> Path:
        return self.path / "transfer.parquet"

    def write_matrix(self, table: pl.DataFrame) -> None:
        """Write the transfer matrix."""
        self._run.write_table(self._matrix, table)

    def read_matrix(self) -> pl.DataFrame:
        """Return the transfer matrix, empty where there is none.

        Raises:
            UserError: it is damaged.
        """
        if not self._matrix.is_file():
            return pl.DataFrame(schema=TRANSFERS.schema)
        return self._run.read_table(self._matrix, TRANSFERS, _AGAIN)

    def write_summary(self, table: pl.DataFrame) -> None:
        """Write the table of losses as Parquet and CSV, for other programs."""
        self._run.write_table(self.path / "losses.parquet", table)
        self._run.write_file(self.path / "losses.csv", table.write_csv().encode())


def _whole(measurements: pl.DataFrame, outcomes: pl.DataFrame) -> Traces:
    """Leave out attacks of which one table knows nothing: the process ended between the two files."""
    measured = set(measurements["examples"])
    return Traces(measurements, outcomes.filter(pl.col("examples").is_in(sorted(measured))))
