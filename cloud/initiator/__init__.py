"""The function that opens rounds."""
