"""What the study of releases from paths says."""
