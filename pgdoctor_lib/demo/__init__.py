"""A PostgreSQL of its own, a workload, and the rest is the product.

`show.run` is the walk: a temporary folder, the built-in receiver, a throw-away cluster, a
workload, the daemon, and the end of all of them. Nothing here collects or uploads: the daemon
and the receiver run as a user would run them, as processes of this same program. Only the
standard library comes in; `workload.py`, which plays the user's application in a process of its
own, is the one that brings its own psycopg2.
"""
