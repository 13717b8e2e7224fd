-- source: pg_stat_statements (postgresql.org/docs/current/pgstatstatements.html)
-- scope: database
-- rows: many, the union of as many as asked for each by total and mean time, calls, rows, blocks read, temporary blocks, WAL, I/O and JIT time
-- needs: pg_stat_statements, pg_monitor
-- variables: pgss_schema (where the extension is), databases (pg_database.oid, an array), limit, texts (whether they are read), own (PGDoctor's own statements: the place of a database in databases, a slash, a queryid; an array), told (whose texts may be left out, in the same way), query_text, tokens, secrets
-- counters: calls, plans, total_plan_time_ms, total_exec_time_ms, rows, shared_blks_hit, shared_blks_read, shared_blks_dirtied, shared_blks_written, local_blks_hit, local_blks_read, local_blks_dirtied, local_blks_written, temp_blks_read, temp_blks_written, shared_blk_read_time_ms, shared_blk_write_time_ms, local_blk_read_time_ms, local_blk_write_time_ms, temp_blk_read_time_ms, temp_blk_write_time_ms, wal_records, wal_fpi, wal_bytes, wal_buffers_full, jit_functions, jit_generation_time_ms, jit_inlining_count, jit_inlining_time_ms, jit_optimization_count, jit_optimization_time_ms, jit_emission_count, jit_emission_time_ms, jit_deform_count, jit_deform_time_ms, parallel_workers_to_launch, parallel_workers_launched
-- about: This database's statements that are first by any measure, each role's and level's once with all its counters, those that took most time first; PGDoctor's own are left out. Columns follow the extension's version: 1.8 came with PostgreSQL 13, 1.9 with 14, 1.10 with 15, 1.11 with 17, 1.12 with 18; an upgraded server has the older one until ALTER EXTENSION.
--
-- | `queryid` | which statement, as text: 64 bits are more than a JSON number holds everywhere; `fingerprint` in `top_queries` |
-- | `userid`, `rolname`, `toplevel` | who ran it, and (1.9+) whether it was sent by a client: `false` within a function, whose own time counts the same time once more |
-- | `query` | its text, masked as in `top_queries`, its first 5,000 characters, in the first row of a `queryid`; `null` where it came in a snapshot within the last hour, where one snapshot has 60,000 characters already (the others follow), and where texts could not be read: one that cannot be written in this database's encoding, of any database of the server, costs all of them for an hour, for PostgreSQL refuses the whole reading |
-- | `calls`, `rows` | how often it ran, and the rows that came or were changed |
-- | `plans`, `total_plan_time_ms` | 1.8+: how often it was planned, and the time; 0 with `pg_stat_statements.track_planning` off |
-- | `total_exec_time_ms`, `min_exec_time_ms`, `max_exec_time_ms`, `mean_exec_time_ms`, `stddev_exec_time_ms` | time spent executing it |
-- | `shared_blks_hit`, `shared_blks_read`, `shared_blks_dirtied`, `shared_blks_written` | blocks of tables and indexes |
-- | `local_blks_hit`, `local_blks_read`, `local_blks_dirtied`, `local_blks_written` | blocks of temporary tables |
-- | `temp_blks_read`, `temp_blks_written` | blocks of what did not fit into `work_mem` |
-- | `shared_blk_read_time_ms`, `shared_blk_write_time_ms` | time that took; 0 with `track_io_timing` off; before 1.11 local blocks' too (blk_read_time, blk_write_time) |
-- | `local_blk_read_time_ms`, `local_blk_write_time_ms` | 1.11+ |
-- | `temp_blk_read_time_ms`, `temp_blk_write_time_ms` | 1.10+ |
-- | `wal_records`, `wal_fpi`, `wal_bytes`, `wal_buffers_full` (1.12+) | 1.8+: WAL that it wrote: records, full page images, bytes |
-- | `jit_functions`, `jit_generation_time_ms`, `jit_inlining_count`, `jit_inlining_time_ms`, `jit_optimization_count`, `jit_optimization_time_ms`, `jit_emission_count`, `jit_emission_time_ms` | 1.10+: JIT compilation |
-- | `jit_deform_count`, `jit_deform_time_ms` | 1.11+ |
-- | `parallel_workers_to_launch`, `parallel_workers_launched` | 1.12+: planned, and there |
-- | `stats_since`, `minmax_stats_since` | 1.11+: since when its counters, its min and max, are kept |
--
-- psql -v pgss_schema=public -v databases={5} -v limit=20 -v texts=true -v own={} -v told={} -v query_text=none -v tokens= -v secrets= -f queries.sql
-- Times are rounded as they are, doubles: by way of numeric it would take most of the time.
-- Numbers are read each time, texts only when some are asked for, since the server keeps them in a file. Without them
-- PGDoctor's own statements are known by `own`. queries.total.sql and top_queries.sql begin with the same words, which
-- top_queries.py has computed once.
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
), number AS MATERIALIZED (
    SELECT dbid, userid, queryid,
           toplevel,                                                                      -- [pg_stat_statements >= 1.9]
-- [pg_stat_statements < 1.9]           NULL::bool AS toplevel,
           calls,
           plans,                                                                         -- [pg_stat_statements >= 1.8]
           total_plan_time AS total_plan_time_ms,                                         -- [pg_stat_statements >= 1.8]
           total_exec_time AS total_exec_time_ms,                                         -- [pg_stat_statements >= 1.8]
           min_exec_time AS min_exec_time_ms,                                             -- [pg_stat_statements >= 1.8]
           max_exec_time AS max_exec_time_ms,                                             -- [pg_stat_statements >= 1.8]
           mean_exec_time AS mean_exec_time_ms,                                           -- [pg_stat_statements >= 1.8]
           stddev_exec_time AS stddev_exec_time_ms,                                       -- [pg_stat_statements >= 1.8]
-- [pg_stat_statements < 1.8]           NULL::bigint AS plans,
-- [pg_stat_statements < 1.8]           NULL::float8 AS total_plan_time_ms,
-- [pg_stat_statements < 1.8]           total_time AS total_exec_time_ms,
-- [pg_stat_statements < 1.8]           min_time AS min_exec_time_ms,
-- [pg_stat_statements < 1.8]           max_time AS max_exec_time_ms,
-- [pg_stat_statements < 1.8]           mean_time AS mean_exec_time_ms,
-- [pg_stat_statements < 1.8]           stddev_time AS stddev_exec_time_ms,
           rows,
           shared_blks_hit,
           shared_blks_read,
           shared_blks_dirtied,
           shared_blks_written,
           local_blks_hit,
           local_blks_read,
           local_blks_dirtied,
           local_blks_written,
           temp_blks_read,
           temp_blks_written,
           shared_blk_read_time AS shared_blk_read_time_ms,                               -- [pg_stat_statements >= 1.11]
           shared_blk_write_time AS shared_blk_write_time_ms,                             -- [pg_stat_statements >= 1.11]
           local_blk_read_time AS local_blk_read_time_ms,                                 -- [pg_stat_statements >= 1.11]
           local_blk_write_time AS local_blk_write_time_ms,                               -- [pg_stat_statements >= 1.11]
-- [pg_stat_statements < 1.11]           blk_read_time AS shared_blk_read_time_ms,
-- [pg_stat_statements < 1.11]           blk_write_time AS shared_blk_write_time_ms,
-- [pg_stat_statements < 1.11]           NULL::float8 AS local_blk_read_time_ms,
-- [pg_stat_statements < 1.11]           NULL::float8 AS local_blk_write_time_ms,
           temp_blk_read_time AS temp_blk_read_time_ms,                                   -- [pg_stat_statements >= 1.10]
           temp_blk_write_time AS temp_blk_write_time_ms,                                 -- [pg_stat_statements >= 1.10]
-- [pg_stat_statements < 1.10]           NULL::float8 AS temp_blk_read_time_ms,
-- [pg_stat_statements < 1.10]           NULL::float8 AS temp_blk_write_time_ms,
           wal_records,                                                                   -- [pg_stat_statements >= 1.8]
           wal_fpi,                                                                       -- [pg_stat_statements >= 1.8]
           wal_bytes,                                                                     -- [pg_stat_statements >= 1.8]
-- [pg_stat_statements < 1.8]           NULL::bigint AS wal_records,
-- [pg_stat_statements < 1.8]           NULL::bigint AS wal_fpi,
-- [pg_stat_statements < 1.8]           NULL::numeric AS wal_bytes,
           wal_buffers_full,                                                              -- [pg_stat_statements >= 1.12]
-- [pg_stat_statements < 1.12]           NULL::bigint AS wal_buffers_full,
           jit_functions,                                                                 -- [pg_stat_statements >= 1.10]
           jit_generation_time AS jit_generation_time_ms,                                 -- [pg_stat_statements >= 1.10]
           jit_inlining_count,                                                            -- [pg_stat_statements >= 1.10]
           jit_inlining_time AS jit_inlining_time_ms,                                     -- [pg_stat_statements >= 1.10]
           jit_optimization_count,                                                        -- [pg_stat_statements >= 1.10]
           jit_optimization_time AS jit_optimization_time_ms,                             -- [pg_stat_statements >= 1.10]
           jit_emission_count,                                                            -- [pg_stat_statements >= 1.10]
           jit_emission_time AS jit_emission_time_ms,                                     -- [pg_stat_statements >= 1.10]
-- [pg_stat_statements < 1.10]           NULL::bigint AS jit_functions,
-- [pg_stat_statements < 1.10]           NULL::float8 AS jit_generation_time_ms,
-- [pg_stat_statements < 1.10]           NULL::bigint AS jit_inlining_count,
-- [pg_stat_statements < 1.10]           NULL::float8 AS jit_inlining_time_ms,
-- [pg_stat_statements < 1.10]           NULL::bigint AS jit_optimization_count,
-- [pg_stat_statements < 1.10]           NULL::float8 AS jit_optimization_time_ms,
-- [pg_stat_statements < 1.10]           NULL::bigint AS jit_emission_count,
-- [pg_stat_statements < 1.10]           NULL::float8 AS jit_emission_time_ms,
           jit_deform_count,                                                              -- [pg_stat_statements >= 1.11]
           jit_deform_time AS jit_deform_time_ms,                                         -- [pg_stat_statements >= 1.11]
-- [pg_stat_statements < 1.11]           NULL::bigint AS jit_deform_count,
-- [pg_stat_statements < 1.11]           NULL::float8 AS jit_deform_time_ms,
           parallel_workers_to_launch,                                                    -- [pg_stat_statements >= 1.12]
           parallel_workers_launched,                                                     -- [pg_stat_statements >= 1.12]
-- [pg_stat_statements < 1.12]           NULL::bigint AS parallel_workers_to_launch,
-- [pg_stat_statements < 1.12]           NULL::bigint AS parallel_workers_launched,
           stats_since,                                                                   -- [pg_stat_statements >= 1.11]
           minmax_stats_since,                                                            -- [pg_stat_statements >= 1.11]
-- [pg_stat_statements < 1.11]           NULL::timestamptz AS stats_since,
-- [pg_stat_statements < 1.11]           NULL::timestamptz AS minmax_stats_since,
           nullif(temp_blks_read + temp_blks_written, 0) AS temp_blks,
           shared_blk_read_time + shared_blk_write_time + local_blk_read_time             -- [pg_stat_statements >= 1.11]
             + local_blk_write_time + temp_blk_read_time + temp_blk_write_time AS io_time, -- [pg_stat_statements >= 1.11]
-- [pg_stat_statements < 1.11]           blk_read_time + blk_write_time AS io_time,
           jit_generation_time + jit_inlining_time + jit_optimization_time + jit_emission_time AS jit_time, -- [pg_stat_statements >= 1.10]
-- [pg_stat_statements < 1.10]           NULL::float8 AS jit_time,
           CASE WHEN calls >= 5 THEN mean_exec_time END AS mean_time                      -- [pg_stat_statements >= 1.8]
-- [pg_stat_statements < 1.8]           CASE WHEN calls >= 5 THEN mean_time END AS mean_time
      FROM entry
     WHERE dbid IN (SELECT dbid FROM wanted)
       AND queryid IS NOT NULL
       AND (dbid, queryid) NOT IN (SELECT dbid, queryid FROM own)
), ranked AS (
    SELECT *,
           least(row_number() OVER (PARTITION BY dbid ORDER BY total_exec_time_ms DESC, queryid, userid),
                  CASE WHEN mean_time > 0 THEN row_number() OVER (PARTITION BY dbid ORDER BY mean_time DESC NULLS LAST, queryid, userid) END,
                  CASE WHEN calls > 0 THEN row_number() OVER (PARTITION BY dbid ORDER BY calls DESC NULLS LAST, queryid, userid) END,
                  CASE WHEN rows > 0 THEN row_number() OVER (PARTITION BY dbid ORDER BY rows DESC NULLS LAST, queryid, userid) END,
                  CASE WHEN shared_blks_read > 0 THEN row_number() OVER (PARTITION BY dbid ORDER BY shared_blks_read DESC NULLS LAST, queryid, userid) END,
                  CASE WHEN temp_blks > 0 THEN row_number() OVER (PARTITION BY dbid ORDER BY temp_blks DESC NULLS LAST, queryid, userid) END,
                  CASE WHEN wal_bytes > 0 THEN row_number() OVER (PARTITION BY dbid ORDER BY wal_bytes DESC NULLS LAST, queryid, userid) END,
                  CASE WHEN io_time > 0 THEN row_number() OVER (PARTITION BY dbid ORDER BY io_time DESC NULLS LAST, queryid, userid) END,
                  CASE WHEN jit_time > 0 THEN row_number() OVER (PARTITION BY dbid ORDER BY jit_time DESC NULLS LAST, queryid, userid) END) AS place
      FROM number
), chosen AS MATERIALIZED (
    SELECT * FROM ranked WHERE place <= :'limit'::int
), first AS (
    SELECT c.*,
           query,
           query IS NOT NULL
             AND concat_ws('/', number, queryid) NOT IN (SELECT unnest(told) FROM given)
             AND row_number() OVER (PARTITION BY dbid, queryid ORDER BY total_exec_time_ms DESC, userid, toplevel) = 1 AS is_new
      FROM chosen c
      JOIN wanted USING (dbid)
      LEFT JOIN (SELECT dbid, queryid, min(left(query, 10000) COLLATE "C") AS query
                   FROM wording
                  WHERE (dbid, queryid) IN (SELECT dbid, queryid FROM chosen)
                  GROUP BY dbid, queryid) w USING (dbid, queryid)
), shown AS MATERIALIZED (
    SELECT *, is_new AND sum(least(length(query), 5000)) FILTER (WHERE is_new)
                         OVER (PARTITION BY dbid ORDER BY total_exec_time_ms DESC, queryid, userid, toplevel) <= 60000 AS is_told
      FROM first
)
SELECT shown.dbid::bigint,
       queryid::text,
       userid::bigint,
       rolname,
       toplevel,
       CASE WHEN is_told THEN
            CASE WHEN :'query_text' = 'none' THEN NULL
                 WHEN :'query_text' = 'full' AND left(query, 5000) !~* :'secrets' THEN left(query, 5000)
                 ELSE (SELECT string_agg(coalesce(token[1], left(token[2], 0) || '***', left(token[3], 0) || ' ', '''***'''), '')
                         FROM regexp_matches(left(query, 5000), :'tokens', 'g') AS token)
            END
       END AS query,
       calls,
       plans,
       round(total_plan_time_ms * 1000) / 1000 AS total_plan_time_ms,
       round(total_exec_time_ms * 1000) / 1000 AS total_exec_time_ms,
       round(min_exec_time_ms * 1000) / 1000 AS min_exec_time_ms,
       round(max_exec_time_ms * 1000) / 1000 AS max_exec_time_ms,
       round(mean_exec_time_ms * 1000) / 1000 AS mean_exec_time_ms,
       round(stddev_exec_time_ms * 1000) / 1000 AS stddev_exec_time_ms,
       rows,
       shared_blks_hit,
       shared_blks_read,
       shared_blks_dirtied,
       shared_blks_written,
       local_blks_hit,
       local_blks_read,
       local_blks_dirtied,
       local_blks_written,
       temp_blks_read,
       temp_blks_written,
       round(shared_blk_read_time_ms * 1000) / 1000 AS shared_blk_read_time_ms,
       round(shared_blk_write_time_ms * 1000) / 1000 AS shared_blk_write_time_ms,
       round(local_blk_read_time_ms * 1000) / 1000 AS local_blk_read_time_ms,
       round(local_blk_write_time_ms * 1000) / 1000 AS local_blk_write_time_ms,
       round(temp_blk_read_time_ms * 1000) / 1000 AS temp_blk_read_time_ms,
       round(temp_blk_write_time_ms * 1000) / 1000 AS temp_blk_write_time_ms,
       wal_records,
       wal_fpi,
       wal_bytes,
       wal_buffers_full,
       jit_functions,
       round(jit_generation_time_ms * 1000) / 1000 AS jit_generation_time_ms,
       jit_inlining_count,
       round(jit_inlining_time_ms * 1000) / 1000 AS jit_inlining_time_ms,
       jit_optimization_count,
       round(jit_optimization_time_ms * 1000) / 1000 AS jit_optimization_time_ms,
       jit_emission_count,
       round(jit_emission_time_ms * 1000) / 1000 AS jit_emission_time_ms,
       jit_deform_count,
       round(jit_deform_time_ms * 1000) / 1000 AS jit_deform_time_ms,
       parallel_workers_to_launch,
       parallel_workers_launched,
       stats_since,
       minmax_stats_since
  FROM shown
  LEFT JOIN pg_roles r ON r.oid = userid
 ORDER BY shown.dbid, shown.total_exec_time_ms DESC, shown.queryid, userid, toplevel
