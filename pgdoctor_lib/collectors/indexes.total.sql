-- source: pg_index, pg_stat_all_indexes
-- scope: database
-- rows: one
-- needs: nothing
SELECT count(*) AS count,
       coalesce(sum(x.relpages), 0)::bigint * current_setting('block_size')::bigint AS size_bytes,
       coalesce(sum(pg_stat_get_numscans(x.oid)), 0)::bigint AS idx_scan,
       coalesce(sum(pg_stat_get_tuples_returned(x.oid)), 0)::bigint AS idx_tup_read,
       coalesce(sum(pg_stat_get_tuples_fetched(x.oid)), 0)::bigint AS idx_tup_fetch,
       count(*) FILTER (WHERE NOT indisvalid) AS invalid_count,
       count(*) FILTER (WHERE pg_stat_get_numscans(x.oid) = 0) AS unused_count,
       coalesce(sum(x.relpages) FILTER (WHERE pg_stat_get_numscans(x.oid) = 0), 0)::bigint
         * current_setting('block_size')::bigint AS unused_size_bytes
  FROM pg_index
  JOIN pg_class x ON x.oid = indexrelid
  JOIN pg_namespace n ON n.oid = x.relnamespace AND left(n.nspname, 3) <> 'pg_' AND n.nspname <> 'information_schema'
 WHERE x.relpersistence <> 't'
