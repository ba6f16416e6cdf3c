"""What the study of Adam's temperature is made of."""
