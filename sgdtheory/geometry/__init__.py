"""The geometry of a landscape at a point: its curvature and the covariance of its gradient."""
