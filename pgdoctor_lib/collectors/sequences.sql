-- source: pg_sequence, pg_sequence_last_value(), 18+ pg_get_sequence_data() (postgresql.org/docs/current/catalog-pg-sequence.html)
-- scope: database
-- cadence: minutes
-- rows: many, 100 by used_percent, 20 that may not be read
-- needs: pg_read_all_data (14+), or SELECT on the sequences, else last_value is not seen
-- about: Sequences, temporary ones not: of at most 200 that are read in one snapshot the 100 that are most used up, and 20 that the role may not read. Where there are more than 200, those are read whose tables have most rows, or saw most inserts, for the range that they have.
--
-- | `relid`, `schemaname`, `sequencename` | the sequence |
-- | `data_type`, `start_value`, `min_value`, `max_value`, `increment_by`, `cycle`, `cache_size` | as in pg_sequences |
-- | `is_identity`, `owner_relid`, `owner_schemaname`, `owner_relname`, `owner_attname`, `owner_data_type` | the column that it belongs to (serial, identity, OWNED BY), where there is one |
-- | `is_extension_member` | whether an extension made it |
-- | `readable`, `locked` | whether the role may read it, and whether it was left out because of a lock that reading would wait for |
-- | `last_value` | `null` where it was never used, or not read |
-- | `limit_value` | where it ends: max_value or what the owning column's type holds (of a descending one: min_value) |
-- | `used_percent`, `values_left` | `last_value` in percent of `limit_value`, 0 where it was never used, and how many are still to come; `null` where it was not read |
--
-- Before 18 reading takes ROW EXCLUSIVE on the sequence and keeps it until the transaction ends: hence no more than 200
-- (the server's table of locks is a small one, and everybody's), and none on which a lock is held or awaited that
-- conflicts. An unlogged sequence has no file on a standby.
WITH held AS MATERIALIZED (
    SELECT DISTINCT relation AS oid
      FROM pg_locks
     WHERE locktype = 'relation'
       AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
), owned AS MATERIALIZED (
    SELECT DISTINCT ON (objid) objid AS oid, refobjid, refobjsubid, deptype
      FROM pg_depend
      JOIN pg_sequence ON seqrelid = objid
     WHERE classid = 'pg_class'::regclass
       AND refclassid = 'pg_class'::regclass
       AND refobjsubid > 0
       AND deptype IN ('a', 'i')
     ORDER BY objid, deptype DESC
), sequence AS MATERIALIZED (
    SELECT s.*,
           c.relnamespace,
           c.relname,
           o.oid AS owner_relid,
           o.relnamespace AS owner_relnamespace,
           o.relname AS owner_relname,
           a.attname,
           a.atttypid,
           owned.deptype,
           l.limit_value,
-- [pg < 18]           has_sequence_privilege(c.oid, 'USAGE, SELECT') AS readable,
           has_sequence_privilege(c.oid, 'SELECT') AS readable,                           -- [pg >= 18]
           c.relpersistence = 'u' AND pg_is_in_recovery() AS missing,
           EXISTS (SELECT FROM held WHERE held.oid = c.oid) AS locked,
           CASE WHEN o.relkind = 'p' THEN 1
                ELSE greatest(o.reltuples, pg_stat_get_tuples_inserted(o.oid)) / nullif(abs(l.limit_value::float8), 0)
           END AS fill
      FROM pg_sequence s
      JOIN pg_class c ON c.oid = seqrelid
      LEFT JOIN owned ON owned.oid = c.oid
      LEFT JOIN pg_class o ON o.oid = owned.refobjid
      LEFT JOIN pg_attribute a ON a.attrelid = owned.refobjid AND a.attnum = owned.refobjsubid
 CROSS JOIN LATERAL (
           SELECT CASE WHEN seqincrement > 0
                       THEN least(seqmax, CASE atttypid WHEN 21 THEN 32767 WHEN 23 THEN 2147483647 END)
                       ELSE greatest(seqmin, CASE atttypid WHEN 21 THEN -32768 WHEN 23 THEN -2147483648 END)
                  END) l (limit_value)
     WHERE c.relpersistence <> 't'
       AND c.oid >= 16384
), ranked AS MATERIALIZED (
    SELECT seqrelid, row_number() OVER (PARTITION BY owner_relid IS NULL ORDER BY fill DESC NULLS LAST, seqrelid)
                     * CASE WHEN owner_relid IS NULL THEN 3 ELSE 1 END AS place
      FROM sequence
     WHERE readable AND NOT locked AND NOT missing
), picked AS MATERIALIZED (
    SELECT seqrelid FROM ranked ORDER BY place, seqrelid LIMIT 200
), value AS MATERIALIZED (
-- [pg < 18]    SELECT seqrelid, pg_sequence_last_value(seqrelid) AS last_value FROM picked
    SELECT seqrelid, CASE WHEN d.is_called THEN d.last_value END AS last_value            -- [pg >= 18]
      FROM picked, pg_get_sequence_data(seqrelid) d                                       -- [pg >= 18]
), used AS MATERIALIZED (
    SELECT s.*,
           v.last_value,
           CASE WHEN v.last_value IS NULL THEN 0
                WHEN sign(limit_value) = sign(seqincrement) THEN round(greatest(100.0 * v.last_value / limit_value, 0), 2)
                WHEN seqincrement > 0 THEN round(100.0 * (v.last_value - seqmin::numeric) / nullif(limit_value - seqmin::numeric, 0), 2)
                ELSE round(100.0 * (seqmax::numeric - v.last_value) / nullif(seqmax::numeric - limit_value, 0), 2)
           END AS used_percent,
           greatest(0, CASE WHEN v.last_value IS NULL THEN div(limit_value::numeric - seqstart, seqincrement) + 1
                            ELSE div(limit_value::numeric - v.last_value, seqincrement)
                       END) AS values_left
      FROM value v
      JOIN sequence s ON s.seqrelid = v.seqrelid
), shown AS MATERIALIZED (
    (SELECT * FROM used ORDER BY used_percent DESC, seqrelid LIMIT 100)
     UNION ALL
    (SELECT *, NULL, NULL, NULL FROM sequence WHERE NOT readable OR locked ORDER BY fill DESC NULLS LAST, seqrelid LIMIT 20)
)
SELECT seqrelid::bigint AS relid,
       n.nspname AS schemaname,
       relname AS sequencename,
       format_type(seqtypid, NULL) AS data_type,
       seqstart AS start_value,
       seqmin AS min_value,
       seqmax AS max_value,
       seqincrement AS increment_by,
       seqcycle AS cycle,
       seqcache AS cache_size,
       coalesce(deptype = 'i', false) AS is_identity,
       owner_relid::bigint,
       o.nspname AS owner_schemaname,
       owner_relname,
       attname AS owner_attname,
       format_type(atttypid, NULL) AS owner_data_type,
       EXISTS (SELECT FROM pg_depend
                WHERE classid = 'pg_class'::regclass AND objid IN (seqrelid, owner_relid) AND pg_depend.deptype = 'e') AS is_extension_member,
       readable,
       locked,
       last_value,
       limit_value,
       used_percent,
       values_left
  FROM shown
  JOIN pg_namespace n ON n.oid = relnamespace
  LEFT JOIN pg_namespace o ON o.oid = owner_relnamespace
 ORDER BY used_percent DESC NULLS LAST, relid
