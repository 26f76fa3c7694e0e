"""Run folders: what a federation's rounds were, as files that people and their tools read (docs/runs.md)."""
