"""List of all figures, in the order of the page. To add one, write its file and add it here."""

from infoplane.report.attacks_figure import ATTACKS_FIGURE
from infoplane.report.clouds_figure import FOUR_CLOUDS
from infoplane.report.comparison_figure import COMPARISON
from infoplane.report.distortion_figure import DISTORTION, DISTORTION_LAYERS
from infoplane.report.distortion_sheet import DISTORTION_SHEET
from infoplane.report.entropy_figure import CLASS_ENTROPIES
from infoplane.report.evaluation_figure import EVALUATION_FIGURE
from infoplane.report.figure import FigureSpec
from infoplane.report.flow_figure import INFORMATION_FLOW, RELATIVE_NOISE_PLANES
from infoplane.report.geometry_figure import GEOMETRY
from infoplane.report.geometry_sweeps import ARTEFACT_SWEEPS, GEOMETRY_SWEEPS
from infoplane.report.heat_figure import HEAT_MAPS
from infoplane.report.mistakes_figure import MISTAKES, TRANSFER
from infoplane.report.recorded import Recorded
from infoplane.report.seeds_figure import SEEDS_INFORMATION, SEEDS_PERFORMANCE
from infoplane.report.shape_figure import CONFLICT_IMAGES, CUE_LAYERS, SHAPE_BIAS
from infoplane.report.splits_figure import SPLITS
from infoplane.report.sweep_curves import Sweeps
from infoplane.report.sweep_figure import NOISE_SWEEP
from infoplane.report.trusted_figure import TRUSTED
from infoplane.report.where_figure import WHERE_CURVES, WHERE_SHARES
from infoplane.report.where_gallery import WHERE_GALLERY

# Of a run: study one, and study two where it was made.
FIGURES: tuple[FigureSpec[Recorded], ...] = (
    INFORMATION_FLOW,
    HEAT_MAPS,
    TRUSTED,
    SPLITS,
    RELATIVE_NOISE_PLANES,
    NOISE_SWEEP,
    CLASS_ENTROPIES,
    SEEDS_INFORMATION,
    SEEDS_PERFORMANCE,
    COMPARISON,
    GEOMETRY,
    TRANSFER,
    MISTAKES,
    ATTACKS_FIGURE,
    WHERE_SHARES,
    WHERE_CURVES,
    WHERE_GALLERY,
    SHAPE_BIAS,
    CUE_LAYERS,
    CONFLICT_IMAGES,
    DISTORTION,
    DISTORTION_LAYERS,
    DISTORTION_SHEET,
    EVALUATION_FIGURE,
)

# Of the sweeps of study three.
SWEEP_FIGURES: tuple[FigureSpec[Sweeps], ...] = (GEOMETRY_SWEEPS, ARTEFACT_SWEEPS, FOUR_CLOUDS)
