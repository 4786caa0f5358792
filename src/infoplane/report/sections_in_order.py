"""List of the sections of the page, in its order. To add one, write its function and add it here."""

from collections.abc import Callable

from infoplane.report.page_accuracy import accuracy_section
from infoplane.report.page_attacks import attacks_section
from infoplane.report.page_claims import claims_section
from infoplane.report.page_distortion import distortion_section
from infoplane.report.page_downloads import downloads_section
from infoplane.report.page_evaluation import evaluation_section
from infoplane.report.page_figures import figures_section
from infoplane.report.page_geometry import geometry_section
from infoplane.report.page_information import information_section
from infoplane.report.page_label import label_section
from infoplane.report.page_mistakes import mistakes_section
from infoplane.report.page_plane import plane_section
from infoplane.report.page_reading import limits_section, reading_section
from infoplane.report.page_section import PageSection, PageSource
from infoplane.report.page_settings import settings_section
from infoplane.report.page_where import where_section
from infoplane.report.registered import registered_section

SECTIONS: tuple[Callable[[PageSource], PageSection | None], ...] = (
    accuracy_section,
    plane_section,
    label_section,
    distortion_section,
    mistakes_section,
    evaluation_section,
    attacks_section,
    where_section,
    registered_section,
    claims_section,
    information_section,
    geometry_section,
    figures_section,
    reading_section,
    limits_section,
    downloads_section,
    settings_section,
)
