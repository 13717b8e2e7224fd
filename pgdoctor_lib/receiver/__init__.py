"""The built-in endpoint: takes snapshots, keeps them in a file or in PostgreSQL, shows them on a page and as JSON.

`app` puts it together (two threads at the store, upkeep, signals) · `server` serves (gevent.pywsgi, deadlines) ·
`routes` answers (plain WSGI), `wire` reads bodies and writes responses · `guard` says who may · `intake` turns a body
into a valid snapshot, `shapes` reads what may have any shape, `moments` times · `metrics` names the figures that become
series · `store/` keeps (SQLite, PostgreSQL) · `readiness` asks whether it can, `tally` counts, `exposition` tells
Prometheus · `place` finds and makes the private files · `web/` is the page, `api/` the JSON. Only `app` and `server`
know gevent; only `store/` knows a database.
"""
