"""Data, and what a task does that does not say otherwise: training and evaluation."""
