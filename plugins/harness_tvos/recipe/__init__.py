"""How the shipped weights were made, beyond what harness train does: see README.md."""
