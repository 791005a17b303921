"""Power meters outside the device: a command, a TCP or a serial stream that prints readings line by line.

The same code reads a meter on the device, in the agent that runs there, and one on the host, in an agent
that the host starts beside itself. Readings are kept as they came; putting them on the device's clock is
for the host, which has seen both ends.
"""
