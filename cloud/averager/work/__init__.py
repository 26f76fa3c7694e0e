"""The work of averaging a round."""
