"""What the study of one-point convexity says."""
