"""What people see of a run: the page, the terminal, the progress. Reads run directories only,
without torch."""
