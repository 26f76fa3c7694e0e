"""What makes a site of docs/, with a reference that the code is asked for."""
