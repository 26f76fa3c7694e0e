"""What the functions remember, in DynamoDB and S3, and what they tell devices. boto3 clients are passed in."""
