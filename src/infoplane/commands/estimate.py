"""Command `infoplane estimate`: estimate the information in a user's own activations."""

import json
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field

from infoplane.commands.common import Options, open_console
from infoplane.config import MeasurementConfig
from infoplane.errors import UserError


class EstimateOptions(Options):
    """Estimate the information in activations of your own."""

    file: tyro.conf.Positional[Path]
    """.npz or .safetensors with `activations` (samples, features) and `labels` (samples,)."""
    noise_variance: float = Field(0.1, gt=0)
    """Variance of the Gaussian noise of KDE, in squared activation units."""
    bin_width: float = Field(0.5, gt=0)
    """Width of a bin, in activation units."""
    permutations: int = Field(40, ge=0)
    """Number of label permutations for the null of I(T;Y)."""
    seed: int = Field(0, ge=0)
    """Seed of the permutations."""
    json_output: Annotated[bool, tyro.conf.arg(name="json")] = False
    """Print JSON, in nats, instead of a table in bits."""


def estimate(options: EstimateOptions) -> int:
    """Print the estimates for the activations in a file."""
    from infoplane.report.estimate import estimate_table
    from infoplane.studies.activations import estimate_activations, read_activations

    activations, labels = read_activations(options.file)
    settings = MeasurementConfig(
        noise_variance=options.noise_variance, bin_width=options.bin_width, permutations=options.permutations
    )
    try:
        measurements = estimate_activations(activations, labels, settings, seed=options.seed)
    except ValueError as error:
        raise UserError(f"{options.file}: {error}") from error
    if options.json_output:
        print(json.dumps({"file": str(options.file), "unit": "nats", "measurements": measurements.to_dicts()}))
    else:
        open_console().print(estimate_table(measurements))
    return 0
