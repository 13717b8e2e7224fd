-- source: pg_index, pg_stat_all_indexes, pg_statio_all_indexes (postgresql.org/docs/current/monitoring-stats.html)
-- scope: database
-- rows: many, 50 each by size, tuples read, size of those never scanned, and those invalid
-- needs: nothing
--
-- Statistics come from pg_stat_get_*() and sizes from relpages, for the reasons given in tables.sql.
WITH relation AS MATERIALIZED (
    SELECT x.oid,
           row_number() OVER (ORDER BY x.relpages DESC, x.oid) AS by_size,
           row_number() OVER (ORDER BY pg_stat_get_tuples_returned(x.oid) DESC, x.oid) AS by_reads,
           row_number() OVER (ORDER BY pg_stat_get_numscans(x.oid) = 0 DESC, x.relpages DESC, x.oid) AS by_idle_size,
           row_number() OVER (ORDER BY indisvalid, x.oid) AS by_validity
      FROM pg_index
      JOIN pg_class x ON x.oid = indexrelid
      JOIN pg_namespace n ON n.oid = x.relnamespace AND left(n.nspname, 3) <> 'pg_' AND n.nspname <> 'information_schema'
     WHERE x.relpersistence <> 't'
), shown AS MATERIALIZED (
    SELECT oid
      FROM relation
      JOIN pg_index ON indexrelid = oid
     WHERE least(by_size, by_reads, by_idle_size) <= 50
        OR NOT indisvalid AND by_validity <= 50
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
       left(pg_get_indexdef(x.oid), 500) AS definition
  FROM shown
  JOIN pg_index ON indexrelid = shown.oid
  JOIN pg_class x ON x.oid = indexrelid
  JOIN pg_class c ON c.oid = indrelid
  JOIN pg_namespace n ON n.oid = x.relnamespace
  JOIN pg_am am ON am.oid = x.relam
 ORDER BY size_bytes DESC, x.oid
