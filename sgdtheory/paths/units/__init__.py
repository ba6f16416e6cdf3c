"""Which hidden units a network has, watched in one forward pass."""
