"""The ``edgewright`` command. Each command's module is imported only when that command is run."""
