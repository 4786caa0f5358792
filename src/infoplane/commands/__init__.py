"""The commands, one file each: their options and what they do. Heavy imports wait inside the functions."""
