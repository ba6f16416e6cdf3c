"""Estimators of a temperature: pure functions of a landscape and a trajectory, one a file."""
