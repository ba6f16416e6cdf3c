"""What a run leaves behind: its directory, its units, their files. Knows no science, no Hydra, and
needs no torch to import."""
