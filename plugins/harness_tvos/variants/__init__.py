"""What is not the method of the paper: other networks for the rows of its tables."""
