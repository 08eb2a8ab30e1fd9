"""What every kernel decides, against its plain form in float64: ``python -m benchmarks.decisions`` prints the table."""
