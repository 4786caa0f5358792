"""Where the runs of a sweep are executed: one file for each engine."""
