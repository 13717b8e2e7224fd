-- source: pg_class, pg_stat_all_tables
-- scope: database
-- rows: one
-- needs: nothing
-- counters: seq_scan, seq_tup_read
-- about: Over all tables.
--
-- | `count`, `table_size_bytes`, `toast_size_bytes`, `reltuples`, `n_live_tup`, `n_dead_tup`, `seq_scan`, `seq_tup_read` | sums; `count` has partitions and partitioned tables among it |
-- | `partitioned_count`, `partition_count` | partition trees, and their leaf partitions |
-- | `autovacuum_disabled_count` | tables whose storage parameters turn autovacuum off |
-- | `locked_count` | tables on which somebody holds or awaits ACCESS EXCLUSIVE |
-- | `relfrozenxid_age`, `relminmxid_age` | the greatest |
WITH each AS MATERIALIZED (
    SELECT oid,
           relkind,
           relispartition,
           reltoastrelid,
           greatest(relpages, 0) AS pages,
           reltuples,
           reloptions::text ~* 'autovacuum_enabled=(f|of|n|0)' AS unattended,
           CASE WHEN relfrozenxid <> '0' THEN age(relfrozenxid) END AS relfrozenxid_age,
           CASE WHEN relminmxid <> '0' THEN mxid_age(relminmxid) END AS relminmxid_age,
           CASE WHEN relkind <> 't' THEN pg_stat_get_live_tuples(oid) END AS live,
           CASE WHEN relkind <> 't' THEN pg_stat_get_dead_tuples(oid) END AS dead,
           CASE WHEN relkind <> 't' THEN pg_stat_get_blocks_fetched(oid) END AS reads,
           CASE WHEN relkind <> 't' THEN pg_stat_get_numscans(oid) END AS scans,
           CASE WHEN relkind <> 't' THEN pg_stat_get_tuples_returned(oid) END AS returned
      FROM pg_class
     WHERE relkind IN ('r', 'm', 'p', 't')
       AND relpersistence <> 't'
       AND oid >= 16384
), held AS MATERIALIZED (
    SELECT DISTINCT relation AS oid
      FROM pg_locks
     WHERE locktype = 'relation'
       AND mode = 'AccessExclusiveLock'
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT count(*) FILTER (WHERE relkind <> 't') AS count,
       coalesce(sum(pages) FILTER (WHERE relkind <> 't'), 0)::bigint * current_setting('block_size')::bigint AS table_size_bytes,
       coalesce(sum(pages) FILTER (WHERE relkind = 't'), 0)::bigint * current_setting('block_size')::bigint AS toast_size_bytes,
       coalesce(sum(reltuples) FILTER (WHERE relkind IN ('r', 'm') AND reltuples > 0), 0) AS reltuples,
       coalesce(sum(live), 0)::bigint AS n_live_tup,
       coalesce(sum(dead), 0)::bigint AS n_dead_tup,
       coalesce(sum(scans), 0)::bigint AS seq_scan,
       coalesce(sum(returned), 0)::bigint AS seq_tup_read,
       count(*) FILTER (WHERE relkind = 'p' AND NOT relispartition) AS partitioned_count,
       count(*) FILTER (WHERE relkind = 'r' AND relispartition) AS partition_count,
       count(*) FILTER (WHERE relkind <> 't' AND unattended) AS autovacuum_disabled_count,
       count(*) FILTER (WHERE relkind <> 't' AND (oid IN (SELECT oid FROM held)) IS TRUE) AS locked_count,
       max(relfrozenxid_age) AS relfrozenxid_age,
       max(relminmxid_age) AS relminmxid_age
  FROM each
