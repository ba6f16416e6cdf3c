"""Ways between two points: the elastic band and AutoNEB, strings, curves, permutations; how a way
is measured."""
