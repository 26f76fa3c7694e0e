"""The user's task.py: unpacked, imported, called, and what it gives."""
