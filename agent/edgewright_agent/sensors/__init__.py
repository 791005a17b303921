"""What the device knows of itself: power, temperature, clocks, throttling, power mode.

Every reader takes ``root``, the directory under which ``sys/`` and ``proc/`` are found, and ``path``,
directories to search first for the vendors' commands. On a device they are ``/`` and nothing.
"""
