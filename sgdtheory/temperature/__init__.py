"""The temperature of SGD's noise: the grid, one cell of it, what a cell records, what its
estimators and verdicts say."""
