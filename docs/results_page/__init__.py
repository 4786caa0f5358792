"""Parts of the pages of results that `docs/make_results.py` writes from the folder of a run."""
