"""How the shipped weights were made; see README.md beside this file."""
