"""The daemon: a greenlet a database, each on its own grid of due times, and what surrounds them.

`cycle.py` is the spine; `supervisor.py` owns greenlets and signals; `outbox.py` what waits for the
endpoint; `output.py` the lines that people read; `background.py` the PID file and the detached
process. gevent comes in here, and into three other places only.
"""
