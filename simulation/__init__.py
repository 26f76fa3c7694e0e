"""Many clients in one process tree, through the same pure functions as on a fleet: no AWS, no sockets, no devices."""
