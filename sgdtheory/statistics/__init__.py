"""Numbers with errors from samples: fractions, ratios, trends, power laws, resampling, tables."""
