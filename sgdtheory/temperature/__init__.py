"""Estimators of the temperature of SGD's noise: pure functions of a landscape and a trajectory, one a file."""
