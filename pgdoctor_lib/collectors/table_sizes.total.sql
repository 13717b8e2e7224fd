-- source: pg_class, pg_locks
-- scope: database
-- rows: one
-- needs: nothing
-- about: How many there are.
--
-- | `count` | tables and materialized views, partitions among them |
-- | `locked_count` | those left out because of somebody's ACCESS EXCLUSIVE |
WITH held AS MATERIALIZED (
    SELECT DISTINCT coalesce(i.indrelid, l.relation) AS oid
      FROM pg_locks l
      LEFT JOIN pg_index i ON i.indexrelid = l.relation
     WHERE locktype = 'relation'
       AND mode = 'AccessExclusiveLock'
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT count(*) AS count,
       count(*) FILTER (WHERE oid IN (SELECT oid FROM held)
                           OR reltoastrelid IN (SELECT oid FROM held)) AS locked_count
  FROM pg_class
 WHERE relkind IN ('r', 'm')
   AND relpersistence <> 't'
   AND oid >= 16384
