"""The temperature of SGD's noise: the grid, its cells, their measurement, estimators and claims."""
