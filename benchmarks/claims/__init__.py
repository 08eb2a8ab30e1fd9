"""Claims of the papers measured over many seeds, in forms that a CPU can train."""
