"""Benchmarks: what this costs beside bare PostgreSQL, as ratios from one run."""
