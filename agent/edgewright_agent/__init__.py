"""The device side of Edgewright: runs one model in a fresh process and says what it observed.

Standard library, numpy and an inference runtime; Python 3.8 or newer. It never imports the host package.
"""

__version__ = "0.1.0"
