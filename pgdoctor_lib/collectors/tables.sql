-- source: pg_class, pg_stat_all_tables, pg_statio_all_tables (postgresql.org/docs/current/monitoring-stats.html)
-- scope: database
-- rows: many, 50 each by size, n_dead_tup, heap blocks read and relfrozenxid_age
-- needs: nothing
--
-- Statistics come from pg_stat_get_*(), which the views are made of: for all relations only what ranks them, and the
-- rest for those shown. Sizes come from relpages, as of the last VACUUM or ANALYZE: pg_relation_size() would wait for
-- whoever holds ACCESS EXCLUSIVE. Objects below oid 16384 are the system's own.
WITH relation AS MATERIALIZED (
    SELECT c.oid,
           coalesce(t.relpages, 0) AS toast_pages,
           c.relpages + coalesce(t.relpages, 0) AS pages,
           pg_stat_get_dead_tuples(c.oid) AS dead,
           pg_stat_get_blocks_fetched(c.oid) AS reads,
           greatest(CASE WHEN c.relfrozenxid <> '0' THEN age(c.relfrozenxid) END,
                    CASE WHEN t.relfrozenxid <> '0' THEN age(t.relfrozenxid) END) AS relfrozenxid_age
      FROM pg_class c
      LEFT JOIN pg_class t ON t.oid = c.reltoastrelid AND t.relkind = 't'
     WHERE c.relkind IN ('r', 'm', 'p')
       AND c.relpersistence <> 't'
       AND c.oid >= 16384
), shown AS MATERIALIZED (
    (SELECT * FROM relation ORDER BY pages DESC, oid LIMIT 50)
     UNION (SELECT * FROM relation WHERE dead > 0 ORDER BY dead DESC, oid LIMIT 50)
     UNION (SELECT * FROM relation WHERE reads > 0 ORDER BY reads DESC, oid LIMIT 50)
     UNION (SELECT * FROM relation ORDER BY relfrozenxid_age DESC NULLS LAST, oid LIMIT 50)
)
SELECT c.oid::bigint AS relid,
       n.nspname AS schemaname,
       c.relname,
       c.relkind,
       c.relpersistence,
       c.relispartition,
       c.reloptions,
       nullif(c.reltuples, -1) AS reltuples,
       (c.relpages + s.toast_pages + i.pages) * b.size AS size_bytes,
       c.relpages * b.size AS table_size_bytes,
       s.toast_pages * b.size AS toast_size_bytes,
       i.pages * b.size AS indexes_size_bytes,
       i.count AS index_count,
       pg_stat_get_live_tuples(c.oid) AS n_live_tup,
       pg_stat_get_dead_tuples(c.oid) AS n_dead_tup,
       pg_stat_get_mod_since_analyze(c.oid) AS n_mod_since_analyze,
       pg_stat_get_ins_since_vacuum(c.oid) AS n_ins_since_vacuum,                         -- [pg >= 13]
-- [pg < 13]       NULL::bigint AS n_ins_since_vacuum,
       pg_stat_get_numscans(c.oid) AS seq_scan,
       pg_stat_get_lastscan(c.oid) AS last_seq_scan,                                      -- [pg >= 16]
-- [pg < 16]       NULL::timestamptz AS last_seq_scan,
       pg_stat_get_tuples_returned(c.oid) AS seq_tup_read,
       i.idx_scan,
       i.last_idx_scan,
       i.idx_tup_fetch + pg_stat_get_tuples_fetched(c.oid) AS idx_tup_fetch,
       pg_stat_get_tuples_inserted(c.oid) AS n_tup_ins,
       pg_stat_get_tuples_updated(c.oid) AS n_tup_upd,
       pg_stat_get_tuples_deleted(c.oid) AS n_tup_del,
       pg_stat_get_tuples_hot_updated(c.oid) AS n_tup_hot_upd,
       pg_stat_get_tuples_newpage_updated(c.oid) AS n_tup_newpage_upd,                    -- [pg >= 16]
-- [pg < 16]       NULL::bigint AS n_tup_newpage_upd,
       pg_stat_get_blocks_fetched(c.oid) - pg_stat_get_blocks_hit(c.oid) AS heap_blks_read,
       pg_stat_get_blocks_hit(c.oid) AS heap_blks_hit,
       pg_stat_get_last_vacuum_time(c.oid) AS last_vacuum,
       pg_stat_get_last_autovacuum_time(c.oid) AS last_autovacuum,
       pg_stat_get_last_analyze_time(c.oid) AS last_analyze,
       pg_stat_get_last_autoanalyze_time(c.oid) AS last_autoanalyze,
       pg_stat_get_vacuum_count(c.oid) AS vacuum_count,
       pg_stat_get_autovacuum_count(c.oid) AS autovacuum_count,
       pg_stat_get_analyze_count(c.oid) AS analyze_count,
       pg_stat_get_autoanalyze_count(c.oid) AS autoanalyze_count,
       pg_stat_get_total_vacuum_time(c.oid) AS total_vacuum_time_ms,                      -- [pg >= 18]
       pg_stat_get_total_autovacuum_time(c.oid) AS total_autovacuum_time_ms,              -- [pg >= 18]
       pg_stat_get_total_analyze_time(c.oid) AS total_analyze_time_ms,                    -- [pg >= 18]
       pg_stat_get_total_autoanalyze_time(c.oid) AS total_autoanalyze_time_ms,            -- [pg >= 18]
-- [pg < 18]       NULL::float8 AS total_vacuum_time_ms,
-- [pg < 18]       NULL::float8 AS total_autovacuum_time_ms,
-- [pg < 18]       NULL::float8 AS total_analyze_time_ms,
-- [pg < 18]       NULL::float8 AS total_autoanalyze_time_ms,
       s.relfrozenxid_age,
       CASE WHEN c.relminmxid <> '0' THEN mxid_age(c.relminmxid) END AS relminmxid_age
  FROM shown s
  JOIN pg_class c ON c.oid = s.oid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN (SELECT current_setting('block_size')::bigint) b (size)
 CROSS JOIN LATERAL (
       SELECT count(*) AS count,
              coalesce(sum(x.relpages), 0)::bigint AS pages,
              coalesce(sum(pg_stat_get_numscans(x.oid)), 0)::bigint AS idx_scan,
              max(pg_stat_get_lastscan(x.oid)) AS last_idx_scan,                          -- [pg >= 16]
-- [pg < 16]              NULL::timestamptz AS last_idx_scan,
              coalesce(sum(pg_stat_get_tuples_fetched(x.oid)), 0)::bigint AS idx_tup_fetch
         FROM pg_index
         JOIN pg_class x ON x.oid = indexrelid
        WHERE indrelid = c.oid) i
 ORDER BY size_bytes DESC, relid
