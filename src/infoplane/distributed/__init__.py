"""Distributed: processes that work together."""
