"""Instances: proposals within the foreground, linked over time (Lu et al. 2020, 3.3)."""
