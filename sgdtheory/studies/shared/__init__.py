"""Shared by several studies: paths, Tr H compared at equal loss, and training recipes."""
