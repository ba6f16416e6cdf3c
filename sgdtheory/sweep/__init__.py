"""What a sweep of temperatures is made of: its grid, its ground, a cell, what a cell records, the fit over cells."""
