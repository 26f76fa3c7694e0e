"""Mistakes that newcomers make, and how soon `fedgrass check` tells them: `python -m benchmarks.newcomer_mistakes`."""
