"""The agent: the long-lived process, which wakes on messages. No torch, numpy or boto3 in it."""
