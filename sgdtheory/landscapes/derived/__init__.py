"""Landscapes made from other landscapes."""
