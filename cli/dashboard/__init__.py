"""`fedgrass dashboard`: a page of a federation while it goes on, on this machine."""
