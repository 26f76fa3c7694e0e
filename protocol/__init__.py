"""What devices and the cloud agree on: names, messages and tensors. Neither boto3 nor torch is imported here."""
