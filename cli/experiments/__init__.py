"""A matrix of settings and seeds, simulated run by run, and what they come to: a table and plots."""
