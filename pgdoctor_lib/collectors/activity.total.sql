-- source: pg_stat_activity
-- scope: server
-- rows: one
-- needs: pg_monitor, else states and ages of other roles' sessions are missing
--
-- | `count` | sessions and background processes, without PGDoctor's |
-- | `client_backends`, `max_connections`, `superuser_reserved_connections`, `reserved_connections` (16+, else 0) | connections taken, and how many there are |
-- | `by_state`, `active_by_wait_event_type`, `by_backend_type` | client sessions by state, the active ones by what they wait for (`CPU`: for nothing), and all by kind |
-- | `by_wait_event` | client sessions by `state`, `wait_event_type` and `wait_event`, each with its `count`: the 20 most frequent |
-- | `by_database`, `by_user`, `by_application` | client sessions by `datname`, `usename`, `application_name`: `count`, `active_count`, `idle_in_transaction_count`, and the limit that is set for it (`datconnlimit`, `rolconnlimit`; −1: none); the 20 with most |
-- | `database_count`, `user_count`, `application_count` | how many of each there are in all |
-- | `longest_xact_s`, `longest_query_s`, `longest_idle_in_transaction_s` | the oldest transaction, running query, and state "idle in transaction" |
-- | `idle_in_transaction_count`, `idle_in_transaction_xid_count`, `idle_in_transaction_xmin_count` | clients idle in a transaction; those that have written; those that hold a snapshot |
-- | `idle_hour_count` | clients idle for more than an hour, outside a transaction |
-- | `lock_wait_count` | sessions that wait for a lock: see `locks` |
-- | `parallel_leader_count`, `parallel_worker_count` | 13+ |
-- | `oldest_xmin_age` | the greatest `backend_xid_age` or `backend_xmin_age` |
--
-- The oldest transaction and query are those of client backends; PGDoctor's own session is counted in
-- client_backends, since it takes a connection, and nowhere else.
WITH session AS MATERIALIZED (
    SELECT a.*,
           pid = pg_backend_pid() AS own,
           backend_type = 'client backend' AS client,
           backend_type = 'client backend' AND pid <> pg_backend_pid() AS other,
           state LIKE 'idle in transaction%' AS idling,
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
       (SELECT json_agg(t) FROM (
               SELECT state, wait_event_type, wait_event, count(*) AS count
                 FROM session WHERE other
                GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT 20) t) AS by_wait_event,
       (SELECT json_agg(t) FROM (
               SELECT s.datname, count(*) AS count,
                      count(*) FILTER (WHERE state = 'active') AS active_count,
                      count(*) FILTER (WHERE idling) AS idle_in_transaction_count,
                      min(datconnlimit) AS datconnlimit
                 FROM session s LEFT JOIN pg_database d ON d.oid = datid WHERE other
                GROUP BY s.datname ORDER BY 2 DESC, 1 LIMIT 20) t) AS by_database,
       (SELECT json_agg(t) FROM (
               SELECT usename, count(*) AS count,
                      count(*) FILTER (WHERE state = 'active') AS active_count,
                      count(*) FILTER (WHERE idling) AS idle_in_transaction_count,
                      min(rolconnlimit) AS rolconnlimit
                 FROM session s LEFT JOIN pg_roles r ON r.oid = usesysid WHERE other
                GROUP BY usename ORDER BY 2 DESC, 1 LIMIT 20) t) AS by_user,
       (SELECT json_agg(t) FROM (
               SELECT application_name, count(*) AS count,
                      count(*) FILTER (WHERE state = 'active') AS active_count,
                      count(*) FILTER (WHERE idling) AS idle_in_transaction_count
                 FROM session WHERE other
                GROUP BY application_name ORDER BY 2 DESC, 1 LIMIT 20) t) AS by_application,
       count(DISTINCT datname) FILTER (WHERE other) AS database_count,
       count(DISTINCT usename) FILTER (WHERE other) AS user_count,
       count(DISTINCT application_name) FILTER (WHERE other) AS application_count,
       round(max(xact_age_s) FILTER (WHERE client AND NOT own), 3) AS longest_xact_s,
       round(max(query_age_s) FILTER (WHERE client AND NOT own AND state = 'active'), 3) AS longest_query_s,
       round(max(state_age_s) FILTER (WHERE idling), 3) AS longest_idle_in_transaction_s,
       count(*) FILTER (WHERE other AND idling) AS idle_in_transaction_count,
       count(*) FILTER (WHERE other AND idling AND backend_xid IS NOT NULL) AS idle_in_transaction_xid_count,
       count(*) FILTER (WHERE other AND idling AND backend_xmin IS NOT NULL) AS idle_in_transaction_xmin_count,
       count(*) FILTER (WHERE other AND state = 'idle' AND state_age_s > 3600) AS idle_hour_count,
       count(*) FILTER (WHERE wait_event_type = 'Lock') AS lock_wait_count,
       count(DISTINCT leader_pid) FILTER (WHERE leader_pid <> pid) AS parallel_leader_count,                 -- [pg >= 13]
       count(*) FILTER (WHERE leader_pid <> pid) AS parallel_worker_count,                                   -- [pg >= 13]
-- [pg < 13]       NULL::bigint AS parallel_leader_count,
-- [pg < 13]       NULL::bigint AS parallel_worker_count,
       max(greatest(age(backend_xid), age(backend_xmin))) FILTER (WHERE NOT own) AS oldest_xmin_age
  FROM session
