"""What `trials.soak` is made of: a day, its clock, its nucleus and its troubles."""
