"""What networks of several methods share."""
