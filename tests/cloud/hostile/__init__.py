"""What one member of a federation may try, with its own certificate and credentials, and what comes of it: the round of
the others ends with the bits that it has without the attack."""
