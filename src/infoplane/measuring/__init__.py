"""Measuring: from a network and images to records."""
