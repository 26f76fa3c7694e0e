"""The function that inspects updates, averages them, and closes rounds."""
