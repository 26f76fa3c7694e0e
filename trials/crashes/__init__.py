"""What `trials.crash_points` kills: rounds, and the functions that carry them through."""
