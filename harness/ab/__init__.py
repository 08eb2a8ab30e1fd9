"""Base and head of a method in turns, in one job: what changed, and whether a gate lets it pass."""
