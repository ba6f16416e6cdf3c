"""Who does the units of a run: one executor a file."""
