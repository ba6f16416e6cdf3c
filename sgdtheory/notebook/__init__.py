"""What the commands do, from Python: for a module, data and a loss of one's own."""
