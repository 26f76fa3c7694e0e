"""What a user writes in federation.yaml: read with its lines, and checked, field by field and one against the other."""
