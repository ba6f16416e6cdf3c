"""The clouds that the study of SGD's collapse is made of."""
