"""Distributed training and measuring: several processes that work on one run."""
