"""A cloud compared with its exact law on a line and in the plane: densities, free energies,
currents, and forces that make it circle."""
