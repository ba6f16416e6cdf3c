"""Doing what is missing of a run: the loop over its units, and the executors that do them."""
