"""What the study of flatness against temperature says."""
