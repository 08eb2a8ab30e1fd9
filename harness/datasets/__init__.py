"""The shelf of datasets: each module offers benchmarks through the hook ``harness_benchmarks``."""
