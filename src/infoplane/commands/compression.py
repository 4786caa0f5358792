"""Command `infoplane compression`: compression of tanh against ReLU, in bins and at noise."""

from pathlib import Path

from infoplane.commands.twelve_bits import TwelveBitOptions, run_study
from infoplane.config import CompressionConfig


class CompressionOptions(CompressionConfig, TwelveBitOptions):
    """Tanh against ReLU on the 12-bit task: does I(X;T) fall in training, in bins and at noise?"""

    output: Path = Path("runs/compression")
    """Folder of the records and figures; networks that are there are not trained again."""


def compression(options: CompressionOptions) -> int:
    """Run the study and print falls and verdicts."""
    from infoplane.findings.compression import judge_tanh_and_relu
    from infoplane.report.compression_figure import TANH_AND_RELU
    from infoplane.studies.compression.study import STUDY

    config = CompressionConfig(**options.model_dump(exclude=set(TwelveBitOptions.model_fields)))
    return run_study(options, config, STUDY, lambda found: judge_tanh_and_relu(found, config.bins[0]), TANH_AND_RELU)
