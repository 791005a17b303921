"""How long a network's layers take on one device, by their channels, and what that is good for.

Nothing here knows of torch, of a runtime or of a way to devices. ``layers`` describes a network whose
channels come in groups, ``table`` holds the times of layers on one device and reads between them,
``knapsack`` chooses channel counts for a budget of time, and ``target`` leads to a latency of the whole
network, which is measured, never added up. Who finds the groups is :mod:`edgewright.compress.channels`; who
takes the times is :mod:`edgewright.farm.layer_times`.
"""
