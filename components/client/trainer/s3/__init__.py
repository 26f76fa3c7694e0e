"""Models from S3, updates to S3."""
