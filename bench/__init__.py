"""What a cycle costs, on this machine: PGDoctor's daemon beside Debian's postgres_exporter, on the same real server.

`cases.py` makes the servers, `agents.py` runs the two agents as real processes, `endpoint.py` takes the snapshots,
`measure.py` reads what the kernel (`proc.py`) and the server counted, `goals.py` judges it, `report.py` prints it.
Linux only: it reads /proc.
"""
