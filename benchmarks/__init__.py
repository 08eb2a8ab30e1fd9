"""Benchmarks: pytest-benchmark suites, experiments, and what a GPU must show."""
