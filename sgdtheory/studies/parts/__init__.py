"""What studies are made of that no pipeline needs."""
