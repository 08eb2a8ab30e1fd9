"""Arithmetic on records: intervals, standings, comparisons."""
