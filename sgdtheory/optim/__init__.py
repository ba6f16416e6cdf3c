"""Descent: SGD, Adam, schedules, mini-batches, the loop with checkpoints, full-batch descent and
L-BFGS."""
