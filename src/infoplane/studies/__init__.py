"""Studies: functions from frozen settings to records."""

from infoplane.config import FlowConfig
from infoplane.measuring.plane import Plane, PlaneRecords
from infoplane.studies.flow.information_flow import FlowRecords, information_flow
from infoplane.studies.flow.work import STUDY

__all__ = ["STUDY", "FlowConfig", "FlowRecords", "Plane", "PlaneRecords", "information_flow"]
