"""The training process, which the agent starts for a round."""
