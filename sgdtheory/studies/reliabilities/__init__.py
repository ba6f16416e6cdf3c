"""Pairs of minima joined in several ways, and how often each way succeeds."""
