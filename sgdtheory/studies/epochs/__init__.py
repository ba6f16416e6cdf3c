"""What epochs of mini-batches do to the noise."""
