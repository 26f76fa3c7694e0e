"""Figures that README.md and docs/ state; each module prints its own, as JSON on its last line."""
