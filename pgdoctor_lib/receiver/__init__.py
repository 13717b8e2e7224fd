"""The built-in endpoint: takes snapshots, keeps them in one file, shows them on a page.

`app` serves (gevent.pywsgi, deadlines, signals) · `routes` answers (plain WSGI) · `guard` says who
may · `intake` turns a body into a valid snapshot · `store` keeps (SQLite) · `place` finds and makes
the private files · `web/` is the page. Only `app` knows gevent; nothing here knows PostgreSQL.
"""
