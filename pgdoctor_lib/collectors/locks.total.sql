-- source: pg_locks
-- scope: server
-- rows: one
-- needs: nothing
WITH held AS MATERIALIZED (
    SELECT mode, granted, pid,
           waitstart                                                                      -- [pg >= 14]
-- [pg < 14]           NULL::timestamptz AS waitstart
      FROM pg_locks
     WHERE pid IS DISTINCT FROM pg_backend_pid()
)
SELECT count(*) FILTER (WHERE NOT granted) AS count,
       count(*) FILTER (WHERE granted) AS granted_count,
       (SELECT json_object_agg(mode, n) FROM (
               SELECT mode, count(*) AS n FROM held WHERE granted GROUP BY mode ORDER BY mode) t) AS granted_by_mode,
       (SELECT json_object_agg(mode, n) FROM (
               SELECT mode, count(*) AS n FROM held WHERE NOT granted GROUP BY mode ORDER BY mode) t) AS waiting_by_mode,
       round(extract(epoch FROM clock_timestamp() - min(waitstart) FILTER (WHERE NOT granted))::numeric, 3) AS longest_wait_s
  FROM held
