"""What is measured, against what. `make bench` runs all; figures are ratios taken in one run (docs/performance.md)."""
