"""Proof that runs long: functions killed at each call, days of trouble, hostile bytes, members, and models."""
