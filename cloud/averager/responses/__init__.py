"""What comes back from clients: received, inspected, counted."""
