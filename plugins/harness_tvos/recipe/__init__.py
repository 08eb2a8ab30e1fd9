"""How the shipped TVOS weights were made; see README.md beside this file."""
