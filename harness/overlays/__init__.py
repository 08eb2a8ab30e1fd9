"""Masks drawn over frames: one picture (draw), a run's pictures and animation (write)."""
