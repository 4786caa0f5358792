"""Studies: functions from frozen settings to records."""

from infoplane.config import FlowConfig
from infoplane.measuring.plane import InformationPlane, PlaneRecords
from infoplane.studies.flow.information_flow import FlowRecords, information_flow
from infoplane.studies.flow.work import STUDY

__all__ = ["STUDY", "FlowConfig", "FlowRecords", "InformationPlane", "PlaneRecords", "information_flow"]
