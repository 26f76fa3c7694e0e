"""The component on the devices of a thing group: what is deployed to them, and what becomes of it on each."""
