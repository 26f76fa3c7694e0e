"""A stand-in for the Greengrass nucleus, one a device: what a component sees of it is what a device shows."""
