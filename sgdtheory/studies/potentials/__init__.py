"""The clouds that the study of SGD's potential is made of."""
