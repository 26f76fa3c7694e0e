"""What can go wrong in a command: stable codes, and the statuses that the command ends with."""
