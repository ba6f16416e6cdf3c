"""A cloud beside its exact law on a line and in the plane: densities, free energies, currents, and
what stirs a cloud."""
