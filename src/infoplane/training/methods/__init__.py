"""Specs of the training methods, one file per method; each computation is in a file of `training`."""
