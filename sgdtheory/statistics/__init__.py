"""Numbers with errors from samples: how often, how much more, how many times."""
