"""How S3 limits the parts of a model's file, which are written by a multipart upload."""

MIN_PART_BYTES = 5 << 20
"""S3 takes no smaller part of a multipart upload, but as the last one."""

MAX_MODEL_BYTES = 10_000 * MIN_PART_BYTES
"""S3 takes no more parts of a multipart upload."""
