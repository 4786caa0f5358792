"""Measure networks: from a network and images to records."""
