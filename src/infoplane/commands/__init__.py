"""The commands of the command line, a file each: what they take, and what they do with it."""
