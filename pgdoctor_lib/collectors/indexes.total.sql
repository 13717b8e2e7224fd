-- source: pg_index, pg_stat_all_indexes
-- scope: database
-- rows: one
-- needs: nothing
WITH relation AS MATERIALIZED (
    SELECT oid,
           relpages * current_setting('block_size')::bigint AS size_bytes,
           pg_stat_get_numscans(oid) AS idx_scan
      FROM pg_class
     WHERE relkind IN ('i', 'I')
       AND relpersistence <> 't'
       AND relnamespace <> 'pg_toast'::regnamespace
       AND oid >= 16384
)
SELECT count(*) AS count,
       coalesce(sum(size_bytes), 0)::bigint AS size_bytes,
       coalesce(sum(idx_scan), 0)::bigint AS idx_scan,
       (SELECT count(*) FROM relation JOIN pg_index ON indexrelid = oid WHERE NOT indisvalid) AS invalid_count,
       count(*) FILTER (WHERE idx_scan = 0) AS unused_count,
       coalesce(sum(size_bytes) FILTER (WHERE idx_scan = 0), 0)::bigint AS unused_size_bytes
  FROM relation
