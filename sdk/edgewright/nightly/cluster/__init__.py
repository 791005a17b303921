"""A night's orders done by other hosts, which find each other by way of Dask's scheduler.

documents.py   what is said: JSON, checked on both sides
files.py       built files on their way from host to host, named by their SHA-256
dask.py        Dask distributed without pickle, and encrypted beyond this machine
scheduler.py   where hosts meet
worker.py      a host of a site: what it is asked, and what it answers
crew.py        what it does for one run, by the same executor as on one machine
calls.py       a worker as the farm speaks with it
executor.py    the farm's executor
"""
