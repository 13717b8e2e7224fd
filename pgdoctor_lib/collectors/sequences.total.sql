-- source: pg_sequence, pg_locks
-- scope: database
-- cadence: minutes
-- rows: one
-- needs: nothing
-- about: How many there are, and how many of them were not read.
--
-- | `count` | sequences |
-- | `unreadable_count` | those that the role may not read |
-- | `locked_count` | those left out because of a lock that reading would wait for |
-- | `unread_count` | those beyond the 200 that are read in one snapshot, and on a standby unlogged ones |
WITH held AS MATERIALIZED (
    SELECT DISTINCT relation AS oid
      FROM pg_locks
     WHERE locktype = 'relation'
       AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
), sequence AS MATERIALIZED (
-- [pg < 18]    SELECT has_sequence_privilege(c.oid, 'USAGE, SELECT') AS readable,
    SELECT has_sequence_privilege(c.oid, 'SELECT') AS readable,                           -- [pg >= 18]
           EXISTS (SELECT FROM held WHERE held.oid = c.oid) AS locked,
           relpersistence = 'u' AND pg_is_in_recovery() AS missing
      FROM pg_class c
     WHERE relkind = 'S'
       AND relpersistence <> 't'
       AND oid >= 16384
)
SELECT count(*) AS count,
       count(*) FILTER (WHERE NOT readable) AS unreadable_count,
       count(*) FILTER (WHERE readable AND locked) AS locked_count,
       count(*) FILTER (WHERE readable AND NOT locked)
           - least(200, count(*) FILTER (WHERE readable AND NOT locked AND NOT missing)) AS unread_count
  FROM sequence
