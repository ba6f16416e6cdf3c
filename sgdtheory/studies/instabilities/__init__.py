"""The parts of the study of instability: a bowl, where all is known, and a network."""
