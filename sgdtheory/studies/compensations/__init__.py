"""The pictures of the study of compensation."""
