"""What a round keeps on the device's disk."""
