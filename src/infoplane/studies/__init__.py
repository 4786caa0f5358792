"""Studies: functions from frozen settings to records."""

from infoplane.config import FlowConfig
from infoplane.studies.flow_work import STUDY
from infoplane.studies.information_flow import FlowRecords, information_flow
from infoplane.studies.plane import InformationPlane, PlaneRecords

__all__ = ["STUDY", "FlowConfig", "FlowRecords", "InformationPlane", "PlaneRecords", "information_flow"]
