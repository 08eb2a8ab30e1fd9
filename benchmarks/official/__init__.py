"""``harness score`` beside the official programs, on the same files: ``python -m benchmarks.official``."""
