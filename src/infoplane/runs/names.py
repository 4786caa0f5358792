"""Names in a run folder that other packages look for without opening the run."""

TABLES = ("measurements", "geometry", "performance")  # folders with a Parquet file for each seed, training and epoch
REGISTERED = "registered.json"  # claims that were fixed before the run
