"""Commands of `infoplane`, one file each: options and action. Slow imports are inside the functions."""
