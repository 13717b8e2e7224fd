-- source: pg_locks, pg_stat_activity, pg_blocking_pids() (postgresql.org/docs/current/view-pg-locks.html)
-- scope: server
-- rows: many, 100 waiting ones, the longest waits first
-- needs: pg_monitor, else other roles' queries, states and times are missing
-- variables: query_text (full, masked or none), tokens and secrets (texts.py: how a text is masked)
--
-- pg_blocking_pids() takes the lock manager's own locks: it is asked for no more sessions than are shown.
-- Queries are masked and cut as in activity.sql.
WITH waiting AS MATERIALIZED (
    SELECT l.*,
           waitstart AS waiting_since,                                                    -- [pg >= 14]
-- [pg < 14]           NULL::timestamptz AS waiting_since,
           a.datname, a.usename, a.application_name, a.state, a.xact_start, a.query_start, a.query,
           clock_timestamp() AS here
      FROM pg_locks l
      LEFT JOIN pg_stat_activity a ON a.pid = l.pid
     WHERE NOT granted
     ORDER BY waiting_since NULLS LAST, query_start NULLS LAST, l.pid
     LIMIT 100
), blocking AS MATERIALIZED (
    SELECT waiting.pid, pg_blocking_pids(waiting.pid) AS pids FROM waiting
), text AS MATERIALIZED (
    SELECT a.pid, a.usename, a.application_name, a.state, a.xact_start, a.query_start,
           CASE WHEN :'query_text' = 'none' THEN NULL
                WHEN :'query_text' = 'full' AND left(query, 500) !~* :'secrets' THEN left(query, 500)
                ELSE (SELECT string_agg(coalesce(token[1], left(token[2], 0) || '***', left(token[3], 0) || ' ', '''***'''), '')
                        FROM regexp_matches(left(query, 500), :'tokens', 'g') AS token)
           END AS query
      FROM pg_stat_activity a
      LEFT JOIN pg_database d ON d.oid = a.datid
      JOIN pg_database e ON e.datname = current_database() AND e.encoding = coalesce(d.encoding, e.encoding)
     WHERE a.pid IN (SELECT pid FROM waiting UNION SELECT unnest(pids) FROM blocking)
)
SELECT w.pid,
       w.locktype,
       w.mode,
       w.datname,
       n.nspname AS schemaname,
       c.relname,
       w.relation::bigint AS relid,
       w.page,
       w.tuple,
       w.transactionid::text,
       w.virtualxid,
       w.waiting_since AS waitstart,
       round(extract(epoch FROM here - w.waiting_since)::numeric, 3) AS wait_age_s,
       w.usename,
       w.application_name,
       w.state,
       round(extract(epoch FROM here - w.xact_start)::numeric, 3) AS xact_age_s,
       round(extract(epoch FROM here - w.query_start)::numeric, 3) AS query_age_s,
       t.query,
       b.pids AS blocking_pids,
       (SELECT json_agg(json_build_object(
                   'pid', bt.pid, 'usename', bt.usename, 'application_name', bt.application_name, 'state', bt.state,
                   'xact_age_s', round(extract(epoch FROM here - bt.xact_start)::numeric, 3),
                   'query_age_s', round(extract(epoch FROM here - bt.query_start)::numeric, 3),
                   'query', bt.query) ORDER BY bt.xact_start, bt.pid)
          FROM text bt
         WHERE bt.pid = ANY (b.pids[1:10])) AS blockers
  FROM waiting w
  JOIN blocking b ON b.pid = w.pid
  LEFT JOIN text t ON t.pid = w.pid
  LEFT JOIN pg_class c ON c.oid = w.relation
                      AND w.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
 ORDER BY w.waiting_since NULLS LAST, w.query_start NULLS LAST, w.pid
