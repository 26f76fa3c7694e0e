"""Processes that begin with the import of torch, forked from one that has it: it takes longer than most live."""
