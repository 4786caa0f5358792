"""Calibration: estimators against distributions of known information."""
