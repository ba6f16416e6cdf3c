"""What the study of barriers against the width of networks says."""
