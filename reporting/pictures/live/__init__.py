"""Pictures of a federation while it goes on: functions from a view to HTML."""
