"""Distributions of strangers: their tests run where they are installed, not among ours (see test_checks_for.py)."""

collect_ignore_glob = ["*/tests/*"]
