-- source: pg_stat_user_functions, pg_proc (postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-USER-FUNCTIONS-VIEW)
-- scope: database
-- cadence: minutes
-- rows: many, 30 each by total and by self time
-- needs: nothing, but `track_functions` set to `pl` or `all`
-- counters: calls, total_time_ms, self_time_ms
-- about: Functions that were called since the counters began, where `track_functions` counts them: 30 each by total and by self time. A function of SQL that was inlined into its query is not counted.
--
-- | `funcid`, `schemaname`, `funcname`, `args` | the function; types of its arguments as text |
-- | `lanname`, `prokind` | its language; `f` function, `p` procedure, `w` window function |
-- | `prosecdef` | whether it runs with its owner's rights |
-- | `calls` | how often it was called |
-- | `total_time_ms`, `self_time_ms` | time in it, with and without the functions that it called |
--
-- The view is pg_proc and pg_stat_get_function_*(): here without what is the system's own (below oid 16384).
WITH called AS MATERIALIZED (
    SELECT p.oid, pg_stat_get_function_total_time(p.oid) AS total, pg_stat_get_function_self_time(p.oid) AS self
      FROM pg_proc p
     WHERE p.oid >= 16384
       AND pg_stat_get_function_calls(p.oid) IS NOT NULL
), shown AS MATERIALIZED (
    (SELECT * FROM called ORDER BY total DESC, oid LIMIT 30)
     UNION (SELECT * FROM called ORDER BY self DESC, oid LIMIT 30)
)
SELECT p.oid::bigint AS funcid,
       n.nspname AS schemaname,
       p.proname AS funcname,
       oidvectortypes(p.proargtypes) AS args,
       l.lanname,
       p.prokind,
       p.prosecdef,
       pg_stat_get_function_calls(p.oid) AS calls,
       s.total AS total_time_ms,
       s.self AS self_time_ms
  FROM shown s
  JOIN pg_proc p ON p.oid = s.oid
  JOIN pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_language l ON l.oid = p.prolang
 ORDER BY s.total DESC, funcid
