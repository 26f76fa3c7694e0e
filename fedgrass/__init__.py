"""What a user's own code imports: `fedgrass.task` in task.py, `fedgrass.policies` in policies.py."""
