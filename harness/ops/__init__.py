"""Tensor arithmetic that methods and metrics share: label maps, label propagation."""
