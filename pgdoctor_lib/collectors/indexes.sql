-- source: pg_index, pg_stat_all_indexes, pg_statio_all_indexes (postgresql.org/docs/current/monitoring-stats.html)
-- scope: database
-- rows: many, 50 each by size, tuples read, size of those never scanned, and those invalid
-- needs: nothing
--
-- Statistics come from pg_stat_get_*() and sizes from relpages, for the reasons given in tables.sql. pg_get_indexdef()
-- opens the table: definition is NULL while somebody holds ACCESS EXCLUSIVE on it, or waits for it.
WITH relation AS MATERIALIZED (
    SELECT oid, relpages AS pages, pg_stat_get_numscans(oid) AS scans, pg_stat_get_tuples_returned(oid) AS reads
      FROM pg_class
     WHERE relkind IN ('i', 'I')
       AND relpersistence <> 't'
       AND relnamespace <> 'pg_toast'::regnamespace
       AND oid >= 16384
), shown AS MATERIALIZED (
    (SELECT oid FROM relation ORDER BY pages DESC, oid LIMIT 50)
     UNION (SELECT oid FROM relation WHERE reads > 0 ORDER BY reads DESC, oid LIMIT 50)
     UNION (SELECT oid FROM relation WHERE scans = 0 ORDER BY pages DESC, oid LIMIT 50)
     UNION (SELECT oid FROM relation JOIN pg_index ON indexrelid = oid WHERE NOT indisvalid ORDER BY pages DESC, oid LIMIT 50)
), held AS MATERIALIZED (
    SELECT DISTINCT relation AS oid FROM pg_locks WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock'
)
SELECT x.oid::bigint AS indexrelid,
       indrelid::bigint AS relid,
       n.nspname AS schemaname,
       c.relname,
       x.relname AS indexrelname,
       x.relkind,
       am.amname,
       x.relpages * current_setting('block_size')::bigint AS size_bytes,
       nullif(x.reltuples, -1) AS reltuples,
       pg_stat_get_numscans(x.oid) AS idx_scan,
       pg_stat_get_lastscan(x.oid) AS last_idx_scan,                                      -- [pg >= 16]
-- [pg < 16]       NULL::timestamptz AS last_idx_scan,
       pg_stat_get_tuples_returned(x.oid) AS idx_tup_read,
       pg_stat_get_tuples_fetched(x.oid) AS idx_tup_fetch,
       pg_stat_get_blocks_fetched(x.oid) - pg_stat_get_blocks_hit(x.oid) AS idx_blks_read,
       pg_stat_get_blocks_hit(x.oid) AS idx_blks_hit,
       indisvalid,
       indisready,
       indisunique,
       indisprimary,
       indisexclusion,
       indisclustered,
       indisreplident,
       indpred IS NOT NULL AS is_partial,
       EXISTS (SELECT FROM pg_constraint WHERE conindid = x.oid AND conrelid = indrelid) AS backs_constraint,
       EXISTS (SELECT FROM pg_inherits WHERE inhrelid = x.oid) AS is_partition,
       (SELECT json_agg(attname ORDER BY attnum) FROM pg_attribute WHERE attrelid = x.oid) AS columns,
       CASE WHEN held.oid IS NULL THEN left(pg_get_indexdef(x.oid), 500) END AS definition
  FROM shown
  JOIN pg_index ON indexrelid = shown.oid
  JOIN pg_class x ON x.oid = indexrelid
  JOIN pg_class c ON c.oid = indrelid
  JOIN pg_namespace n ON n.oid = x.relnamespace
  JOIN pg_am am ON am.oid = x.relam
  LEFT JOIN held ON held.oid IN (indrelid, x.oid)
 ORDER BY size_bytes DESC, x.oid
