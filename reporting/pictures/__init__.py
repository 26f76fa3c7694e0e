"""Pictures of a run: functions from its records to HTML and SVG, which a report freezes and a page may update."""
