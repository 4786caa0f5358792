"""Calibration: compare estimators with the known information of constructed distributions."""
