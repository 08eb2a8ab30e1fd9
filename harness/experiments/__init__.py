"""Experiments: a paper's table as a file, run cell by cell, and shown beside what the paper prints."""
