"""What is collected: one SQL file a section, and what runs them all in one statement.

`registry.py` knows the files, `run.py` runs them, `remedies.py` says what mends a failure. A section
`tables` is `tables.sql`; `tables.total.sql` beside it sums up what its bounded rows leave out.
`top_queries` is a part of the snapshot of its own. A section that needs Python gets a module of its
name. Only `postgres` and what lies below it come in here.
"""
