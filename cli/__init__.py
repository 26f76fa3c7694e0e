"""The fedgrass command."""
