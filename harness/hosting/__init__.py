"""A method where it lives, in this process or apart: built, asked frame by frame, its answers checked."""
