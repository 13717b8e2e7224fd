-- source: pg_stat_statements, pg_stat_statements_info (postgresql.org/docs/current/pgstatstatements.html)
-- scope: database
-- rows: many, one a database
-- needs: pg_stat_statements
-- variables: pgss_schema, databases, texts, own, told (as in queries.sql)
-- counters: calls, plans, total_plan_time_ms, total_exec_time_ms, rows, shared_blks_hit, shared_blks_read, shared_blks_dirtied, shared_blks_written, local_blks_hit, local_blks_read, local_blks_dirtied, local_blks_written, temp_blks_read, temp_blks_written, shared_blk_read_time_ms, shared_blk_write_time_ms, local_blk_read_time_ms, local_blk_write_time_ms, temp_blk_read_time_ms, temp_blk_write_time_ms, wal_records, wal_fpi, wal_bytes, wal_buffers_full, jit_functions, jit_generation_time_ms, jit_inlining_count, jit_inlining_time_ms, jit_optimization_count, jit_optimization_time_ms, jit_emission_count, jit_emission_time_ms, jit_deform_count, jit_deform_time_ms, parallel_workers_to_launch, parallel_workers_launched, own_calls, own_exec_time_ms, dealloc
-- about: Sums over all statements of this database, PGDoctor's own included, and how pg_stat_statements fares.
--
-- | `count`, `hidden_count` | statements of this database; of these, those of other roles, which a role without pg_monitor may not see (their counters count all the same) |
-- | `read_at` | when these and the rows were read, `top_queries` too: once for several databases of a server, so up to 15 s before `collected_at`, or just after it; rates are by this |
-- | `own_calls`, `own_exec_time_ms` | PGDoctor's own share of `calls` and `total_exec_time_ms` |
-- | `calls`, `plans`, `total_plan_time_ms`, `total_exec_time_ms`, `rows`, `shared_blks_hit`, `shared_blks_read`, `shared_blks_dirtied`, `shared_blks_written`, `local_blks_hit`, `local_blks_read`, `local_blks_dirtied`, `local_blks_written`, `temp_blks_read`, `temp_blks_written`, `shared_blk_read_time_ms`, `shared_blk_write_time_ms`, `local_blk_read_time_ms`, `local_blk_write_time_ms`, `temp_blk_read_time_ms`, `temp_blk_write_time_ms`, `wal_records`, `wal_fpi`, `wal_bytes`, `wal_buffers_full`, `jit_functions`, `jit_generation_time_ms`, `jit_inlining_count`, `jit_inlining_time_ms`, `jit_optimization_count`, `jit_optimization_time_ms`, `jit_emission_count`, `jit_emission_time_ms`, `jit_deform_count`, `jit_deform_time_ms`, `parallel_workers_to_launch`, `parallel_workers_launched` | sums of the columns of the same names |
-- | `entries`, `max` | statements of all databases, and how many there is room for (`pg_stat_statements.max`) |
-- | `dealloc`, `stats_reset` | 1.9+: how often the least used ones were thrown out for want of room, and since when all is counted |
-- | `track`, `track_utility`, `track_planning` (13+), `save`, `compute_query_id` (14+), `track_io_timing` | settings; `null` where the role may not see them |
-- | `recording` | whether any statement is added |
WITH given AS MATERIALIZED (
    SELECT :'databases'::oid[] AS databases, :'texts'::bool AS texts, :'own'::text[] AS own, :'told'::text[] AS told
), wanted AS MATERIALIZED (
    SELECT dbid, number FROM given, unnest(databases) WITH ORDINALITY AS w (dbid, number)
), entry AS MATERIALIZED (
    SELECT * FROM :"pgss_schema".pg_stat_statements(false)
), wording AS MATERIALIZED (
    SELECT s.dbid,
           s.queryid,
           CASE WHEN octet_length(s.query) > 40000 THEN left(s.query, 10000) ELSE s.query END AS query,
           left(s.query, 40) ~ '^((SELECT|EXPLAIN|BEGIN|COMMIT|ROLLBACK|DEALLOCATE) /[*] |PREPARE |EXECUTE )pgdoctor' AS is_own
      FROM :"pgss_schema".pg_stat_statements(true) s
     WHERE (SELECT texts FROM given)
       AND s.dbid IN (SELECT dbid FROM wanted)
       AND s.queryid IS NOT NULL
), own AS MATERIALIZED (
    SELECT dbid, queryid FROM wording GROUP BY dbid, queryid HAVING bool_and(is_own)
     UNION
    SELECT dbid, split_part(pair, '/', 2)::bigint
      FROM given, unnest(own) pair
      JOIN wanted ON number = split_part(pair, '/', 1)::int
)
SELECT w.dbid::bigint,
       count(s.dbid) AS count,
       count(s.dbid) FILTER (WHERE s.queryid IS NULL) AS hidden_count,
       statement_timestamp() AS read_at,
       coalesce(sum(s.calls) FILTER (WHERE o.queryid IS NOT NULL), 0)::bigint AS own_calls,
       coalesce(round(sum(s.total_exec_time) FILTER (WHERE o.queryid IS NOT NULL)::numeric, 3), 0) AS own_exec_time_ms, -- [pg_stat_statements >= 1.8]
-- [pg_stat_statements < 1.8]       coalesce(round(sum(s.total_time) FILTER (WHERE o.queryid IS NOT NULL)::numeric, 3), 0) AS own_exec_time_ms,
       coalesce(sum(s.calls), 0)::bigint AS calls,
       coalesce(sum(s.plans), 0)::bigint AS plans,                                        -- [pg_stat_statements >= 1.8]
       coalesce(round(sum(s.total_plan_time)::numeric, 3), 0) AS total_plan_time_ms,      -- [pg_stat_statements >= 1.8]
       coalesce(round(sum(s.total_exec_time)::numeric, 3), 0) AS total_exec_time_ms,      -- [pg_stat_statements >= 1.8]
-- [pg_stat_statements < 1.8]       NULL::bigint AS plans,
-- [pg_stat_statements < 1.8]       NULL::numeric AS total_plan_time_ms,
-- [pg_stat_statements < 1.8]       coalesce(round(sum(s.total_time)::numeric, 3), 0) AS total_exec_time_ms,
       coalesce(sum(s.rows), 0)::bigint AS rows,
       coalesce(sum(s.shared_blks_hit), 0)::bigint AS shared_blks_hit,
       coalesce(sum(s.shared_blks_read), 0)::bigint AS shared_blks_read,
       coalesce(sum(s.shared_blks_dirtied), 0)::bigint AS shared_blks_dirtied,
       coalesce(sum(s.shared_blks_written), 0)::bigint AS shared_blks_written,
       coalesce(sum(s.local_blks_hit), 0)::bigint AS local_blks_hit,
       coalesce(sum(s.local_blks_read), 0)::bigint AS local_blks_read,
       coalesce(sum(s.local_blks_dirtied), 0)::bigint AS local_blks_dirtied,
       coalesce(sum(s.local_blks_written), 0)::bigint AS local_blks_written,
       coalesce(sum(s.temp_blks_read), 0)::bigint AS temp_blks_read,
       coalesce(sum(s.temp_blks_written), 0)::bigint AS temp_blks_written,
       coalesce(round(sum(s.shared_blk_read_time)::numeric, 3), 0) AS shared_blk_read_time_ms, -- [pg_stat_statements >= 1.11]
       coalesce(round(sum(s.shared_blk_write_time)::numeric, 3), 0) AS shared_blk_write_time_ms, -- [pg_stat_statements >= 1.11]
       coalesce(round(sum(s.local_blk_read_time)::numeric, 3), 0) AS local_blk_read_time_ms, -- [pg_stat_statements >= 1.11]
       coalesce(round(sum(s.local_blk_write_time)::numeric, 3), 0) AS local_blk_write_time_ms, -- [pg_stat_statements >= 1.11]
-- [pg_stat_statements < 1.11]       coalesce(round(sum(s.blk_read_time)::numeric, 3), 0) AS shared_blk_read_time_ms,
-- [pg_stat_statements < 1.11]       coalesce(round(sum(s.blk_write_time)::numeric, 3), 0) AS shared_blk_write_time_ms,
-- [pg_stat_statements < 1.11]       NULL::numeric AS local_blk_read_time_ms,
-- [pg_stat_statements < 1.11]       NULL::numeric AS local_blk_write_time_ms,
       coalesce(round(sum(s.temp_blk_read_time)::numeric, 3), 0) AS temp_blk_read_time_ms, -- [pg_stat_statements >= 1.10]
       coalesce(round(sum(s.temp_blk_write_time)::numeric, 3), 0) AS temp_blk_write_time_ms, -- [pg_stat_statements >= 1.10]
-- [pg_stat_statements < 1.10]       NULL::numeric AS temp_blk_read_time_ms,
-- [pg_stat_statements < 1.10]       NULL::numeric AS temp_blk_write_time_ms,
       coalesce(sum(s.wal_records), 0)::bigint AS wal_records,                            -- [pg_stat_statements >= 1.8]
       coalesce(sum(s.wal_fpi), 0)::bigint AS wal_fpi,                                    -- [pg_stat_statements >= 1.8]
       coalesce(sum(s.wal_bytes), 0) AS wal_bytes,                                        -- [pg_stat_statements >= 1.8]
-- [pg_stat_statements < 1.8]       NULL::bigint AS wal_records,
-- [pg_stat_statements < 1.8]       NULL::bigint AS wal_fpi,
-- [pg_stat_statements < 1.8]       NULL::numeric AS wal_bytes,
       coalesce(sum(s.wal_buffers_full), 0)::bigint AS wal_buffers_full,                  -- [pg_stat_statements >= 1.12]
-- [pg_stat_statements < 1.12]       NULL::bigint AS wal_buffers_full,
       coalesce(sum(s.jit_functions), 0)::bigint AS jit_functions,                        -- [pg_stat_statements >= 1.10]
       coalesce(round(sum(s.jit_generation_time)::numeric, 3), 0) AS jit_generation_time_ms, -- [pg_stat_statements >= 1.10]
       coalesce(sum(s.jit_inlining_count), 0)::bigint AS jit_inlining_count,              -- [pg_stat_statements >= 1.10]
       coalesce(round(sum(s.jit_inlining_time)::numeric, 3), 0) AS jit_inlining_time_ms,  -- [pg_stat_statements >= 1.10]
       coalesce(sum(s.jit_optimization_count), 0)::bigint AS jit_optimization_count,      -- [pg_stat_statements >= 1.10]
       coalesce(round(sum(s.jit_optimization_time)::numeric, 3), 0) AS jit_optimization_time_ms, -- [pg_stat_statements >= 1.10]
       coalesce(sum(s.jit_emission_count), 0)::bigint AS jit_emission_count,              -- [pg_stat_statements >= 1.10]
       coalesce(round(sum(s.jit_emission_time)::numeric, 3), 0) AS jit_emission_time_ms,  -- [pg_stat_statements >= 1.10]
-- [pg_stat_statements < 1.10]       NULL::bigint AS jit_functions,
-- [pg_stat_statements < 1.10]       NULL::numeric AS jit_generation_time_ms,
-- [pg_stat_statements < 1.10]       NULL::bigint AS jit_inlining_count,
-- [pg_stat_statements < 1.10]       NULL::numeric AS jit_inlining_time_ms,
-- [pg_stat_statements < 1.10]       NULL::bigint AS jit_optimization_count,
-- [pg_stat_statements < 1.10]       NULL::numeric AS jit_optimization_time_ms,
-- [pg_stat_statements < 1.10]       NULL::bigint AS jit_emission_count,
-- [pg_stat_statements < 1.10]       NULL::numeric AS jit_emission_time_ms,
       coalesce(sum(s.jit_deform_count), 0)::bigint AS jit_deform_count,                  -- [pg_stat_statements >= 1.11]
       coalesce(round(sum(s.jit_deform_time)::numeric, 3), 0) AS jit_deform_time_ms,      -- [pg_stat_statements >= 1.11]
-- [pg_stat_statements < 1.11]       NULL::bigint AS jit_deform_count,
-- [pg_stat_statements < 1.11]       NULL::numeric AS jit_deform_time_ms,
       coalesce(sum(s.parallel_workers_to_launch), 0)::bigint AS parallel_workers_to_launch, -- [pg_stat_statements >= 1.12]
       coalesce(sum(s.parallel_workers_launched), 0)::bigint AS parallel_workers_launched, -- [pg_stat_statements >= 1.12]
-- [pg_stat_statements < 1.12]       NULL::bigint AS parallel_workers_to_launch,
-- [pg_stat_statements < 1.12]       NULL::bigint AS parallel_workers_launched,
       (SELECT count(*) FROM entry) AS entries,
       current_setting('pg_stat_statements.max', true)::int AS max,
       (SELECT dealloc FROM :"pgss_schema".pg_stat_statements_info()) AS dealloc,         -- [pg_stat_statements >= 1.9]
       (SELECT stats_reset FROM :"pgss_schema".pg_stat_statements_info()) AS stats_reset, -- [pg_stat_statements >= 1.9]
-- [pg_stat_statements < 1.9]       NULL::bigint AS dealloc,
-- [pg_stat_statements < 1.9]       NULL::timestamptz AS stats_reset,
       current_setting('pg_stat_statements.track', true) AS track,
       current_setting('pg_stat_statements.track_utility', true)::bool AS track_utility,
       current_setting('pg_stat_statements.track_planning', true)::bool AS track_planning,
       current_setting('pg_stat_statements.save', true)::bool AS save,
       current_setting('compute_query_id', true) AS compute_query_id,
       current_setting('track_io_timing')::bool AS track_io_timing,
       coalesce(current_setting('compute_query_id', true), 'auto') <> 'off'
         AND coalesce(current_setting('pg_stat_statements.track', true), 'top') <> 'none' AS recording
  FROM wanted w
  LEFT JOIN entry s ON s.dbid = w.dbid
  LEFT JOIN own o ON o.dbid = s.dbid AND o.queryid = s.queryid
 GROUP BY w.dbid
