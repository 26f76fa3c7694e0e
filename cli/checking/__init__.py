"""Whether a federation's folder will do: tried out on this machine in some seconds, before anything is started."""
