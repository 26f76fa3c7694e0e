"""Where ministack differs from AWS: each function makes it do as AWS does, in the process that has loaded it."""
