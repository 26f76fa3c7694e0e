"""The commands, by what they are for: what each is told, and what it says. The work is done elsewhere."""
