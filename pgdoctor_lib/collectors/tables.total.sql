-- source: pg_class, pg_stat_all_tables
-- scope: database
-- rows: one
-- needs: nothing
SELECT count(*) FILTER (WHERE relkind <> 't') AS count,
       coalesce(sum(relpages) FILTER (WHERE relkind <> 't'), 0)::bigint * current_setting('block_size')::bigint AS table_size_bytes,
       coalesce(sum(relpages) FILTER (WHERE relkind = 't'), 0)::bigint * current_setting('block_size')::bigint AS toast_size_bytes,
       coalesce(sum(reltuples) FILTER (WHERE relkind IN ('r', 'm') AND reltuples > 0), 0) AS reltuples,
       coalesce(sum(pg_stat_get_live_tuples(oid)) FILTER (WHERE relkind <> 't'), 0)::bigint AS n_live_tup,
       coalesce(sum(pg_stat_get_dead_tuples(oid)) FILTER (WHERE relkind <> 't'), 0)::bigint AS n_dead_tup,
       coalesce(sum(pg_stat_get_numscans(oid)) FILTER (WHERE relkind <> 't'), 0)::bigint AS seq_scan,
       coalesce(sum(pg_stat_get_tuples_returned(oid)) FILTER (WHERE relkind <> 't'), 0)::bigint AS seq_tup_read,
       max(age(relfrozenxid)) FILTER (WHERE relfrozenxid <> '0') AS relfrozenxid_age,
       max(mxid_age(relminmxid)) FILTER (WHERE relminmxid <> '0') AS relminmxid_age
  FROM pg_class
 WHERE relkind IN ('r', 'm', 'p', 't')
   AND relpersistence <> 't'
   AND oid >= 16384
