"""How the figures of the README were measured, and the shipped weights made."""
