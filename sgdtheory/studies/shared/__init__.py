"""What more than one study does: paths that they share, and flatness compared at equal loss."""
