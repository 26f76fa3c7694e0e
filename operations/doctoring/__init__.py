"""Whether all holds that has to, for a federation to run: of an account, a stack, a thing group, a device.

A check is a function that looks at one thing and says what it finds, as values. `examination.py` has the list of them.
"""
