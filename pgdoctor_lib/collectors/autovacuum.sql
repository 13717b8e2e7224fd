-- source: pg_stat_activity, pg_stat_progress_vacuum, pg_stat_progress_analyze (postgresql.org/docs/current/routine-vacuuming.html#AUTOVACUUM)
-- scope: server
-- role: primary
-- rows: many, 100 workers, the longest at work first
-- needs: pg_monitor, else none is seen
-- about: Autovacuum's workers and what each does, the longest at work first.
--
-- | `pid`, `datid`, `datname` | the worker and its database |
-- | `command`, `relation` | `VACUUM`, `ANALYZE`, `VACUUM ANALYZE` or `BRIN summarize`, and of what, as schema and name. Both `null` while it looks for work, with `track_activities` off, and for a database in another encoding |
-- | `relid` | the same table, or its TOAST table, once it is there |
-- | `to_prevent_wraparound` | whether it must: such a worker does not yield to others' locks |
-- | `backend_start`, `xact_start`, `age_s` | since when the worker is there, and on this table, as a time and as seconds |
-- | `wait_event_type`, `wait_event` | what it waits for: `VacuumDelay` is its own pace |
-- | `blocking_pids` | who is in its way, where it waits for a lock; 0 is a prepared transaction |
-- | `backend_xmin_age` | transactions since the oldest that it may still see |
-- | `phase` | what it is at, of VACUUM or (13+) ANALYZE |
-- | `heap_blks_total`, `heap_blks_scanned`, `heap_blks_vacuumed` | blocks of the table, of these read, and cleaned; of ANALYZE its sample, and what it has read of it |
-- | `index_vacuum_count` | how often it went through all indexes: more than once where memory did not suffice |
-- | `delay_time_ms` | 18+, with `track_cost_delay_timing`: time spent in pauses |
--
-- The text is the server's own: "autovacuum: VACUUM public.t (to prevent wraparound)".
WITH worker AS MATERIALIZED (
    SELECT a.*, clock_timestamp() AS here,
           CASE WHEN d.encoding = e.encoding AND a.query LIKE 'autovacuum: %' THEN substr(a.query, 13) END AS text
      FROM pg_stat_activity a
      LEFT JOIN pg_database d ON d.oid = a.datid
      JOIN pg_database e ON e.datname = current_database()
     WHERE a.backend_type = 'autovacuum worker'
     ORDER BY a.xact_start NULLS LAST, a.pid
     LIMIT 100
)
SELECT w.pid,
       w.datid::bigint,
       w.datname,
       substring(w.text FROM '^(VACUUM ANALYZE|VACUUM|ANALYZE|BRIN summarize) ') AS command,
       regexp_replace(regexp_replace(w.text, '^(VACUUM ANALYZE|VACUUM|ANALYZE|BRIN summarize) ', ''),
                      ' [(]to prevent wraparound[)]$', '') AS relation,
       coalesce(v.relid, n.relid)::bigint AS relid,                                       -- [pg >= 13]
-- [pg < 13]       v.relid::bigint AS relid,
       w.text LIKE '% (to prevent wraparound)' AS to_prevent_wraparound,
       w.backend_start,
       w.xact_start,
       round(extract(epoch FROM w.here - w.xact_start)::numeric, 3) AS age_s,
       w.wait_event_type,
       w.wait_event,
       CASE WHEN w.wait_event_type = 'Lock' THEN pg_blocking_pids(w.pid) END AS blocking_pids,
       age(w.backend_xmin) AS backend_xmin_age,
       coalesce(v.phase, n.phase) AS phase,                                               -- [pg >= 13]
       coalesce(v.heap_blks_total, n.sample_blks_total) AS heap_blks_total,               -- [pg >= 13]
       coalesce(v.heap_blks_scanned, n.sample_blks_scanned) AS heap_blks_scanned,         -- [pg >= 13]
-- [pg < 13]       v.phase,
-- [pg < 13]       v.heap_blks_total,
-- [pg < 13]       v.heap_blks_scanned,
       v.heap_blks_vacuumed,
       v.index_vacuum_count,
       round(coalesce(v.delay_time, n.delay_time)::numeric, 3) AS delay_time_ms           -- [pg >= 18]
-- [pg < 18]       NULL::numeric AS delay_time_ms
  FROM worker w
  LEFT JOIN pg_stat_progress_vacuum v ON v.pid = w.pid
  LEFT JOIN pg_stat_progress_analyze n ON n.pid = w.pid                                   -- [pg >= 13]
 ORDER BY w.xact_start NULLS LAST, w.pid
