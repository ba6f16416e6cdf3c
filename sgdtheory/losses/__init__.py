"""Losses of examples: functions of a network's outputs and their targets, one a file."""
