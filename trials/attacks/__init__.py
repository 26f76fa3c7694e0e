"""Attacks of a member with its own certificate and credentials on federations of the embedded AWS."""
