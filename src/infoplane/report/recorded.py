"""Records of a run, restricted to the training, seed or distortion of one figure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import polars as pl

from infoplane.records.tables import TRAIN, trainings_at_chance
from infoplane.report.bits import distorted, distortions_of, in_bits, plane_points, trainings_of, undistorted
from infoplane.report.figure import Per
from infoplane.report.labels import at_chance_note, training_label
from infoplane.report.subject import subject_of
from infoplane.runs.folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Records from which a figure of a run is drawn.

    Args:
        run: folder of the run.
        name: name of the run's data and model, for titles.
        class_names: empty if the run does not record them.
        rows: measurements of undistorted test examples, as `bits.in_bits` returns them.
        points: points of the information plane, as `bits.plane_points` returns them.
        performance: performance on undistorted examples, columns of `records.PERFORMANCE_SCHEMA`.
        geometry: geometry of undistorted test examples, columns of `records.GEOMETRY_SCHEMA`.
        distorted: measurements of distorted test examples, as `bits.in_bits` returns them.
        distorted_performance: performance on distorted test examples, columns of `records.PERFORMANCE_SCHEMA`.
        train_rows: like `rows`, of training images; empty if they were not measured.
        seed: seed that the figure shows; None for all seeds.
        training: training that the figure shows; None for all trainings.
        distortion: distortion that the figure shows; None for all distortions.
    """

    run: RunFolder
    name: str
    class_names: Sequence[str]
    rows: pl.DataFrame
    points: pl.DataFrame
    performance: pl.DataFrame
    geometry: pl.DataFrame
    distorted: pl.DataFrame
    distorted_performance: pl.DataFrame
    train_rows: pl.DataFrame
    seed: int | None = None
    training: str | None = None
    distortion: str | None = None

    @property
    def per(self) -> Per:
        """Whether these records are for a training, a seed, a distortion or the whole run."""
        if self.training is not None:
            return "training"
        if self.distortion is not None:
            return "distortion"
        return "run" if self.seed is None else "seed"

    @property
    def trainings(self) -> list[tuple[int, str]]:
        """(seed, training) of all records of undistorted examples."""
        return trainings_of(self.rows, self.performance)

    @property
    def seeds(self) -> list[int]:
        """All seeds, including those of distorted examples."""
        return sorted({seed for seed, _ in trainings_of(self.rows, self.performance, self.distorted_performance)})

    @property
    def about(self) -> list[str]:
        """Training, seed or distortion that the figure shows, in short, for file names."""
        one = self.training or self.distortion
        return ([one] if one else []) + ([] if self.seed is None else [f"s{self.seed}"])

    @property
    def label(self) -> str:
        """Training, seed or distortion that the figure shows, in words."""
        one = self.distortion or (training_label(self.training) if self.training else "")
        return ", ".join(filter(None, (one, "" if self.seed is None else f"seed {self.seed}")))

    @property
    def where(self) -> str:
        """Training, seed or distortion that the figure shows, for its title; trainings at chance are named."""
        dead = trainings_at_chance(self.performance)
        if self.training is not None:
            return f"{training_label(self.training)}{', at chance' if dead else ''}, seed {self.seed} ({self.name})"
        seeds = self.seeds if self.seed is None else [self.seed]
        named = f"seed{'s' if self.seed is None else ''} {', '.join(map(str, seeds))}"
        return f"{named} ({self.name}){at_chance_note(dead)}"

    def parts(self) -> "Iterator[Recorded]":
        """Yield the records for figures: each training, then the whole run, then each seed and its distortions."""
        for seed, training in self.trainings:
            yield self._of((pl.col("seed") == seed) & (pl.col("training") == training), seed=seed, training=training)
        if self.seeds:
            yield self
        for seed in self.seeds:
            of_seed = self._of(pl.col("seed") == seed, seed=seed)
            yield of_seed
            for name in distortions_of(of_seed.distorted_performance):
                own = pl.col("distortion") == name
                yield replace(
                    of_seed,
                    distorted=of_seed.distorted.filter(own),
                    distorted_performance=of_seed.distorted_performance.filter(own),
                    distortion=name,
                )

    def _of(self, chosen: pl.Expr, *, seed: int, training: str | None = None) -> "Recorded":
        return replace(
            self,
            rows=self.rows.filter(chosen),
            points=self.points.filter(chosen),
            performance=self.performance.filter(chosen),
            geometry=self.geometry.filter(chosen),
            distorted=self.distorted.filter(chosen),
            distorted_performance=self.distorted_performance.filter(chosen),
            train_rows=self.train_rows.filter(chosen),
            seed=seed,
            training=training,
        )


def recorded_of(run: RunFolder) -> Recorded:
    """Read the records of a run.

    Raises:
        UserError: the folder holds no run, or damaged records.
    """
    name, _, _, class_names = subject_of(run.read_config(), run.path.name)
    measurements, performance = run.measurements(), run.performance()
    rows = in_bits(measurements)
    return Recorded(
        run=run,
        name=name,
        class_names=class_names,
        rows=rows,
        points=plane_points(rows),
        performance=performance.filter(pl.col("distortion").is_null()),
        geometry=undistorted(run.geometry()),
        distorted=in_bits(measurements, of_distorted=True),
        distorted_performance=distorted(performance),
        train_rows=in_bits(measurements, split=TRAIN),
    )
