"""The one way to a server: a session with deadlines, read-only, whose facts are known.

`connect.py` is the only door to psycopg2 connections; `server.py` knows what differs between servers;
`query.py` loads the collectors' SQL for one of them. Nothing here knows what is collected.
"""
