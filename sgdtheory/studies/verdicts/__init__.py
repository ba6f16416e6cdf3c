"""What the rows of a study say: its tables, claims and pictures, a file for each study whose own would be too long."""
