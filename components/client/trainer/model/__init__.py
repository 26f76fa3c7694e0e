"""A torch model and its tensors."""
