-- source: pg_stat_activity
-- scope: server
-- rows: one
-- needs: pg_monitor, else states and ages of other roles' sessions are missing
--
-- The oldest transaction and query are those of client backends; PGDoctor's own session is counted in
-- client_backends, since it takes a connection, and nowhere else.
WITH session AS MATERIALIZED (
    SELECT a.*,
           pid = pg_backend_pid() AS own,
           backend_type = 'client backend' AS client,
           extract(epoch FROM clock_timestamp() - xact_start)::numeric AS xact_age_s,
           extract(epoch FROM clock_timestamp() - query_start)::numeric AS query_age_s,
           extract(epoch FROM clock_timestamp() - state_change)::numeric AS state_age_s
      FROM pg_stat_activity a
)
SELECT count(*) FILTER (WHERE NOT own) AS count,
       count(*) FILTER (WHERE client OR backend_type IS NULL) AS client_backends,
       current_setting('max_connections')::int AS max_connections,
       current_setting('superuser_reserved_connections')::int AS superuser_reserved_connections,
       coalesce(current_setting('reserved_connections', true), '0')::int AS reserved_connections,
       (SELECT json_object_agg(state, n) FROM (
               SELECT coalesce(state, 'unknown') AS state, count(*) AS n
                 FROM session WHERE client AND NOT own GROUP BY 1 ORDER BY 1) t) AS by_state,
       (SELECT json_object_agg(wait_event_type, n) FROM (
               SELECT coalesce(wait_event_type, 'CPU') AS wait_event_type, count(*) AS n
                 FROM session WHERE client AND NOT own AND state = 'active' GROUP BY 1 ORDER BY 1) t) AS active_by_wait_event_type,
       (SELECT json_object_agg(backend_type, n) FROM (
               SELECT coalesce(backend_type, 'unknown') AS backend_type, count(*) AS n
                 FROM session WHERE NOT own GROUP BY 1 ORDER BY 1) t) AS by_backend_type,
       round(max(xact_age_s) FILTER (WHERE client AND NOT own), 3) AS longest_xact_s,
       round(max(query_age_s) FILTER (WHERE client AND NOT own AND state = 'active'), 3) AS longest_query_s,
       round(max(state_age_s) FILTER (WHERE state LIKE 'idle in transaction%'), 3) AS longest_idle_in_transaction_s,
       max(greatest(age(backend_xid), age(backend_xmin))) FILTER (WHERE NOT own) AS oldest_xmin_age
  FROM session
