"""In what parts a device sends a large update to S3: the cloud reckons with what that costs."""

PART_BYTES = 8 << 20
"""S3 wants 5 MiB or more, but for the last part."""

IN_PARTS_BYTES = 2 * PART_BYTES
"""An update of so many bytes, and a larger one, is sent in parts."""
