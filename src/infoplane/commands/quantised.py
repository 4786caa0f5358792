"""Command `infoplane quantised`: the exact information plane of quantised networks."""

from pathlib import Path

from infoplane.commands.twelve_bits import TwelveBitOptions, run_study
from infoplane.config import QuantisedConfig


class QuantisedOptions(QuantisedConfig, TwelveBitOptions):
    """Quantised networks on the 12-bit task: exact I(X;T) and I(T;Y), beside binning and KDE."""

    output: Path = Path("runs/quantised")
    """Folder of the records and figures; networks that are there are not trained again."""


def quantised(options: QuantisedOptions) -> int:
    """Run the study and print falls and verdicts."""
    from infoplane.findings.compression import judge_quantised
    from infoplane.report.compression_figure import QUANTISED
    from infoplane.studies.compression.study import QUANTISED_STUDY

    config = QuantisedConfig(**options.model_dump(exclude=set(TwelveBitOptions.model_fields)))
    return run_study(options, config, QUANTISED_STUDY, lambda found: judge_quantised(found, config.bits[0]), QUANTISED)
