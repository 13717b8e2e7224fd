-- source: pg_class, pg_stat_all_tables
-- scope: database
-- rows: one
-- needs: nothing
SELECT count(*) AS count,
       coalesce(sum(c.relpages), 0)::bigint * current_setting('block_size')::bigint AS table_size_bytes,
       coalesce(sum(t.relpages), 0)::bigint * current_setting('block_size')::bigint AS toast_size_bytes,
       coalesce(sum(greatest(c.reltuples, 0)), 0) AS reltuples,
       coalesce(sum(pg_stat_get_live_tuples(c.oid)), 0)::bigint AS n_live_tup,
       coalesce(sum(pg_stat_get_dead_tuples(c.oid)), 0)::bigint AS n_dead_tup,
       coalesce(sum(pg_stat_get_numscans(c.oid)), 0)::bigint AS seq_scan,
       coalesce(sum(pg_stat_get_tuples_returned(c.oid)), 0)::bigint AS seq_tup_read,
       coalesce(sum(pg_stat_get_tuples_inserted(c.oid)), 0)::bigint AS n_tup_ins,
       coalesce(sum(pg_stat_get_tuples_updated(c.oid)), 0)::bigint AS n_tup_upd,
       coalesce(sum(pg_stat_get_tuples_deleted(c.oid)), 0)::bigint AS n_tup_del,
       coalesce(sum(pg_stat_get_tuples_hot_updated(c.oid)), 0)::bigint AS n_tup_hot_upd,
       max(greatest(CASE WHEN c.relfrozenxid <> '0' THEN age(c.relfrozenxid) END,
                    CASE WHEN t.relfrozenxid <> '0' THEN age(t.relfrozenxid) END)) AS relfrozenxid_age,
       max(CASE WHEN c.relminmxid <> '0' THEN mxid_age(c.relminmxid) END) AS relminmxid_age
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace AND left(n.nspname, 3) <> 'pg_' AND n.nspname <> 'information_schema'
  LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
 WHERE c.relkind IN ('r', 'm', 'p')
   AND c.relpersistence <> 't'
