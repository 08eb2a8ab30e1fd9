"""Videos made worse on purpose, by a fixed table of ways and severities: what a robustness track is made of."""
