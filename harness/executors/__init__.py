"""Executors: where and how the videos of a run are worked through."""
