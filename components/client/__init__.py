"""com.fedgrass.Client: the device agent, and the training process that it starts for a round."""

__version__ = "0.1.0"
