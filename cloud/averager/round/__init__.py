"""A round's life: its loop, and what ends it."""
