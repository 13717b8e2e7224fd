"""The tables of the SQLite store: one script a version, each applied once. A file of any older version opens."""

_FIRST = """
    CREATE TABLE source (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE,
        snapshot_id TEXT NOT NULL, collected_at REAL NOT NULL, received_at REAL NOT NULL,
        interval_s REAL NOT NULL, tags TEXT NOT NULL, db_name TEXT NOT NULL, db_version TEXT NOT NULL,
        hostname TEXT NOT NULL, size_bytes INTEGER, active_sessions INTEGER, errors INTEGER NOT NULL,
        summary TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE snapshot (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, source_id TEXT NOT NULL,
        collected_at REAL NOT NULL, received_at REAL NOT NULL,
        size_bytes INTEGER, active_sessions INTEGER, errors INTEGER NOT NULL, body_bytes INTEGER NOT NULL
    );
    CREATE INDEX snapshot_of_source ON snapshot (source_id, collected_at);
    CREATE INDEX snapshot_received ON snapshot (received_at);
    CREATE TABLE body (seq INTEGER PRIMARY KEY, data BLOB NOT NULL);
"""
_HISTORY = """
    ALTER TABLE source RENAME TO source_before;
    CREATE TABLE source (
        id TEXT PRIMARY KEY, project TEXT NOT NULL DEFAULT '', name TEXT NOT NULL,
        snapshot_id TEXT NOT NULL, collected_at REAL NOT NULL, received_at REAL NOT NULL,
        interval_s REAL NOT NULL, tags TEXT NOT NULL, db_name TEXT NOT NULL, db_version TEXT NOT NULL,
        hostname TEXT NOT NULL, size_bytes INTEGER, active_sessions INTEGER, errors INTEGER NOT NULL,
        summary TEXT NOT NULL, critical INTEGER NOT NULL DEFAULT 0, warnings INTEGER NOT NULL DEFAULT 0,
        server TEXT NOT NULL DEFAULT '', spoke_at REAL NOT NULL DEFAULT 0, facts TEXT NOT NULL DEFAULT '{}',
        UNIQUE (project, name)
    ) WITHOUT ROWID;
    INSERT INTO source (id, name, snapshot_id, collected_at, received_at, interval_s, tags, db_name, db_version,
        hostname, size_bytes, active_sessions, errors, summary)
    SELECT id, name, snapshot_id, collected_at, received_at, interval_s, tags, db_name, db_version,
        hostname, size_bytes, active_sessions, errors, summary FROM source_before;
    DROP TABLE source_before;
    CREATE TABLE point (source_id TEXT NOT NULL, at REAL NOT NULL, data BLOB NOT NULL,
        PRIMARY KEY (source_id, at)) WITHOUT ROWID;
    CREATE TABLE rollup (source_id TEXT NOT NULL, step_s INTEGER NOT NULL, at REAL NOT NULL, data BLOB NOT NULL,
        PRIMARY KEY (source_id, step_s, at)) WITHOUT ROWID;
    CREATE TABLE due (step_s INTEGER NOT NULL, at REAL NOT NULL, source_id TEXT NOT NULL,
        PRIMARY KEY (step_s, at, source_id)) WITHOUT ROWID;
    CREATE TABLE reading (source_id TEXT NOT NULL, kind TEXT NOT NULL, slot INTEGER NOT NULL, at REAL NOT NULL,
        data BLOB NOT NULL);
    CREATE UNIQUE INDEX reading_of_source ON reading (source_id, kind, slot);
    CREATE INDEX reading_age ON reading (kind, at);
    CREATE TABLE query_text (source_id TEXT NOT NULL, queryid TEXT NOT NULL, text TEXT NOT NULL,
        last_seen REAL NOT NULL, PRIMARY KEY (source_id, queryid)) WITHOUT ROWID;
    CREATE TABLE finding (source_id TEXT NOT NULL, id TEXT NOT NULL, since REAL NOT NULL, check_id TEXT NOT NULL,
        severity TEXT NOT NULL, last_seen REAL NOT NULL, gone_at REAL, data TEXT NOT NULL);
    CREATE UNIQUE INDEX finding_of_source ON finding (source_id, id, since);
    CREATE INDEX finding_open ON finding (source_id) WHERE gone_at IS NULL;
    CREATE TABLE event (source_id TEXT NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
        text TEXT NOT NULL, PRIMARY KEY (source_id, at, kind, key)) WITHOUT ROWID;
    CREATE TABLE token (digest TEXT PRIMARY KEY, name TEXT NOT NULL, created_at REAL NOT NULL, last_used_at REAL,
        revoked_at REAL) WITHOUT ROWID;
    CREATE TABLE progress (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
    INSERT INTO progress SELECT 'unread bodies', max(seq) FROM body HAVING max(seq) > 0;
"""
_SECTIONS = """
    CREATE TABLE section_at (source_id TEXT NOT NULL, section TEXT NOT NULL, snapshot_id TEXT NOT NULL,
        at REAL NOT NULL, PRIMARY KEY (source_id, section)) WITHOUT ROWID;
    INSERT INTO progress SELECT 'unread sections', max(seq) FROM body HAVING max(seq) > 0;
"""
_AGES = """
    CREATE INDEX IF NOT EXISTS query_text_age ON query_text (last_seen);
    CREATE INDEX IF NOT EXISTS event_age ON event (at);
    CREATE INDEX IF NOT EXISTS finding_age ON finding (gone_at) WHERE gone_at IS NOT NULL;
"""
_OWN_IDS = """
    ALTER TABLE snapshot RENAME TO snapshot_before;
    CREATE TABLE snapshot (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL, source_id TEXT NOT NULL,
        collected_at REAL NOT NULL, received_at REAL NOT NULL,
        size_bytes INTEGER, active_sessions INTEGER, errors INTEGER NOT NULL, body_bytes INTEGER NOT NULL,
        UNIQUE (id, source_id)
    );
    INSERT INTO snapshot SELECT seq, id, source_id, collected_at, received_at, size_bytes, active_sessions, errors,
        body_bytes FROM snapshot_before;
    DROP TABLE snapshot_before;
    CREATE INDEX snapshot_of_source ON snapshot (source_id, collected_at);
    CREATE INDEX snapshot_received ON snapshot (received_at);
"""
MIGRATIONS = (_FIRST, _HISTORY, _SECTIONS, _AGES, _OWN_IDS)
