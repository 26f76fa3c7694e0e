"""The steps of a round's life."""
