"""How IMAS learns: by motion, then by appearance."""
