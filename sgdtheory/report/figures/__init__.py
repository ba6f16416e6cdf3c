"""The pictures of a report, one kind a file, each a function of a run's files."""
