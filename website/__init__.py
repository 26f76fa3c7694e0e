"""What makes a site of docs/: a reference that the code is asked for, and pictures of what people see."""
