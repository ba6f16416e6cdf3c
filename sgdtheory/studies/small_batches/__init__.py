"""What the study of small batches and flat minima says."""
