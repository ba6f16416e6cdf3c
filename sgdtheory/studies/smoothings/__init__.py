"""The picture of the study of smoothing."""
