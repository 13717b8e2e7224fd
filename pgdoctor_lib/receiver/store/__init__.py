"""The store: what the receiver keeps, and how it is read again. All of the receiver's SQL is here.

`Store` is the one door, `model` what goes in and comes out. `keep` writes a snapshot; `series`, `queries`, `objects`,
`findings`, `events` and `sources` read; `sections` knows where the newest of each is; `upkeep` sums up and forgets.
`points` and `readings` are their arithmetic. `sqlite` and `postgres` are the databases behind it, `db` what
they have in common; `postgres_layout` knows partitions, and what TimescaleDB and Citus have in their place.
"""

from pgdoctor_lib.receiver.store.migrate import migrate
from pgdoctor_lib.receiver.store.model import (
    Event,
    Extension,
    FindingRow,
    Kept,
    Line,
    Objects,
    ObjectSeries,
    QuerySeries,
    QueryStat,
    Retention,
    Series,
    Source,
    StoreError,
    StoreStats,
    TokenRow,
)
from pgdoctor_lib.receiver.store.places import is_dsn, open_store, shown
from pgdoctor_lib.receiver.store.store import Store
from pgdoctor_lib.receiver.store.tokens import digest

__all__ = [
    "Event",
    "Extension",
    "FindingRow",
    "Kept",
    "Line",
    "ObjectSeries",
    "Objects",
    "QuerySeries",
    "QueryStat",
    "Retention",
    "Series",
    "Source",
    "Store",
    "StoreError",
    "StoreStats",
    "TokenRow",
    "digest",
    "is_dsn",
    "migrate",
    "open_store",
    "shown",
]
