-- source: pg_relation_size(), pg_total_relation_size(), pg_indexes_size() (postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-DBSIZE)
-- scope: database
-- cadence: hourly
-- rows: many, 100 by relpages, 20 by n_live_tup of those whose relpages is 0
-- needs: nothing
-- about: True sizes, as the file system has them, of the 100 largest tables and materialized views by `relpages`, their TOAST tables' included, and of the 20 with most rows that no VACUUM or ANALYZE has seen; partitions each by itself. The largest first. Left out are those on which, or on an index or TOAST table of which, somebody holds or awaits ACCESS EXCLUSIVE.
--
-- | `relid`, `schemaname`, `relname`, `relkind`, `relispartition` | as in `tables` |
-- | `size_bytes` | pg_total_relation_size(): the three below, and the maps of free space and visibility |
-- | `table_size_bytes`, `toast_size_bytes`, `indexes_size_bytes` | rows; its TOAST table with index; indexes |
-- | `relpages_size_bytes` | what `table_size_bytes` was when `relpages` was written |
--
-- These functions open the relation, which waits for whoever holds ACCESS EXCLUSIVE, and leave the backend with the
-- memory of all that it opened.
WITH held AS MATERIALIZED (
    SELECT DISTINCT coalesce(i.indrelid, l.relation) AS oid
      FROM pg_locks l
      LEFT JOIN pg_index i ON i.indexrelid = l.relation
     WHERE locktype = 'relation'
       AND mode = 'AccessExclusiveLock'
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
), relation AS MATERIALIZED (
    SELECT c.oid,
           c.relnamespace,
           c.relname,
           c.relkind,
           c.relispartition,
           c.relpages,
           nullif(c.reltoastrelid, 0) AS toast,
           c.relpages + coalesce(t.relpages, 0) AS pages
      FROM pg_class c
      LEFT JOIN pg_class t ON t.oid = c.reltoastrelid AND t.relkind = 't'
     WHERE c.relkind IN ('r', 'm')
       AND c.relpersistence <> 't'
       AND c.oid >= 16384
       AND NOT EXISTS (SELECT FROM held WHERE held.oid = c.oid)
       AND NOT EXISTS (SELECT FROM held WHERE held.oid = c.reltoastrelid)
), shown AS MATERIALIZED (
    (SELECT * FROM relation WHERE pages > 0 ORDER BY pages DESC, oid LIMIT 100)
     UNION ALL (SELECT * FROM relation WHERE pages = 0 ORDER BY pg_stat_get_live_tuples(oid) DESC, oid LIMIT 20)
), measured AS MATERIALIZED (
    SELECT s.*,
           pg_total_relation_size(oid) AS size_bytes,
           pg_relation_size(oid) AS table_size_bytes,
           coalesce(pg_total_relation_size(toast), 0) AS toast_size_bytes,
           pg_indexes_size(oid) AS indexes_size_bytes
      FROM shown s
)
SELECT s.oid::bigint AS relid,
       n.nspname AS schemaname,
       relname,
       relkind,
       relispartition,
       size_bytes,
       table_size_bytes,
       toast_size_bytes,
       indexes_size_bytes,
       relpages * current_setting('block_size')::bigint AS relpages_size_bytes
  FROM measured s
  JOIN pg_namespace n ON n.oid = relnamespace
 ORDER BY size_bytes DESC NULLS LAST, s.oid
