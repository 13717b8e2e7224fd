-- source: pg_stat_activity, pg_settings
-- scope: server
-- role: primary
-- rows: one
-- needs: pg_monitor, else neither workers nor launcher are seen
--
-- | `count`, `wraparound_count`, `waiting_count` | workers; those that must prevent wraparound; those that wait for a lock |
-- | `autovacuum_max_workers`, `autovacuum_worker_slots` (18+) | workers at the same time, and how far the former can be raised without a restart |
-- | `autovacuum`, `track_counts`, `is_launcher_running` | without the first two, or the launcher, nothing but wraparound is prevented; the last `null` without pg_monitor |
-- | `naptime_s` | how often each database is looked at |
-- | `cost_delay_ms`, `cost_limit`, `work_mem_bytes` | pauses, what is done between two of them (by all workers together), and a worker's memory, after what else holds (`vacuum_cost_delay`, …) where autovacuum's own is −1 |
-- | `vacuum_threshold`, `vacuum_scale_factor`, `vacuum_max_threshold` (18+) | dead rows that call for VACUUM: the first and so much of the table's rows, the last at most |
-- | `vacuum_insert_threshold`, `vacuum_insert_scale_factor` | 13+: the same of rows inserted |
-- | `analyze_threshold`, `analyze_scale_factor` | rows changed that call for ANALYZE |
-- | `freeze_max_age`, `multixact_freeze_max_age` | ages of a table from which on it must be vacuumed |
--
-- Values are those of the whole server, in pg_settings' own units; a table may have its own: see autovacuum_queue.sql.
WITH setting AS MATERIALIZED (
    SELECT name, reset_val
      FROM pg_settings
     WHERE name LIKE 'autovacuum%' OR name IN ('track_counts', 'vacuum_cost_delay', 'vacuum_cost_limit', 'maintenance_work_mem')
), worker AS MATERIALIZED (
    SELECT count(*) AS count,
           count(*) FILTER (WHERE query LIKE '% (to prevent wraparound)') AS wraparound_count,
           count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting_count
      FROM pg_stat_activity
     WHERE backend_type = 'autovacuum worker'
)
SELECT w.count, w.wraparound_count, w.waiting_count,
       (max(reset_val) FILTER (WHERE name = 'autovacuum_max_workers'))::int AS autovacuum_max_workers,
       (max(reset_val) FILTER (WHERE name = 'autovacuum_worker_slots'))::int AS autovacuum_worker_slots,
       (max(reset_val) FILTER (WHERE name = 'autovacuum'))::boolean AS autovacuum,
       (max(reset_val) FILTER (WHERE name = 'track_counts'))::boolean AS track_counts,
       CASE WHEN pg_has_role('pg_read_all_stats', 'USAGE')
            THEN EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'autovacuum launcher')
       END AS is_launcher_running,
       (max(reset_val) FILTER (WHERE name = 'autovacuum_naptime'))::int AS naptime_s,
       coalesce(nullif((max(reset_val) FILTER (WHERE name = 'autovacuum_vacuum_cost_delay'))::numeric, -1),
                (max(reset_val) FILTER (WHERE name = 'vacuum_cost_delay'))::numeric) AS cost_delay_ms,
       coalesce(nullif((max(reset_val) FILTER (WHERE name = 'autovacuum_vacuum_cost_limit'))::int, -1),
                (max(reset_val) FILTER (WHERE name = 'vacuum_cost_limit'))::int) AS cost_limit,
       coalesce(nullif((max(reset_val) FILTER (WHERE name = 'autovacuum_work_mem'))::bigint, -1),
                (max(reset_val) FILTER (WHERE name = 'maintenance_work_mem'))::bigint) * 1024 AS work_mem_bytes,
       (max(reset_val) FILTER (WHERE name = 'autovacuum_vacuum_threshold'))::int AS vacuum_threshold,
       (max(reset_val) FILTER (WHERE name = 'autovacuum_vacuum_scale_factor'))::float8 AS vacuum_scale_factor,
       (max(reset_val) FILTER (WHERE name = 'autovacuum_vacuum_max_threshold'))::int AS vacuum_max_threshold,
       (max(reset_val) FILTER (WHERE name = 'autovacuum_vacuum_insert_threshold'))::int AS vacuum_insert_threshold,
       (max(reset_val) FILTER (WHERE name = 'autovacuum_vacuum_insert_scale_factor'))::float8 AS vacuum_insert_scale_factor,
       (max(reset_val) FILTER (WHERE name = 'autovacuum_analyze_threshold'))::int AS analyze_threshold,
       (max(reset_val) FILTER (WHERE name = 'autovacuum_analyze_scale_factor'))::float8 AS analyze_scale_factor,
       (max(reset_val) FILTER (WHERE name = 'autovacuum_freeze_max_age'))::int AS freeze_max_age,
       (max(reset_val) FILTER (WHERE name = 'autovacuum_multixact_freeze_max_age'))::int AS multixact_freeze_max_age
  FROM setting
 CROSS JOIN worker w
 GROUP BY w.count, w.wraparound_count, w.waiting_count
