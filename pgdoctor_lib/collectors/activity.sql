-- source: pg_stat_activity (postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW)
-- scope: server
-- rows: many, 20 by age of transaction, then client backends by age of state
-- needs: pg_monitor, else of other roles' sessions little more than their number is seen
-- variables: query_text (full, masked or none), tokens and secrets (texts.py: how a text is masked)
--
-- query is cut, then masked: a constant that the cut leaves open is masked to its end. It is NULL where the session's
-- database has another encoding than this one, since its bytes may be no text here.
WITH session AS MATERIALIZED (
    SELECT a.*, clock_timestamp() AS here
      FROM pg_stat_activity a
     WHERE pid <> pg_backend_pid()
     ORDER BY xact_start NULLS LAST, backend_type <> 'client backend', state_change, pid
     LIMIT 20
)
SELECT pid,
       leader_pid,                                                                        -- [pg >= 13]
-- [pg < 13]       NULL::int AS leader_pid,
       s.datname,
       usename,
       application_name,
       host(client_addr) AS client_addr,
       backend_type,
       state,
       wait_event_type,
       wait_event,
       backend_start,
       xact_start,
       query_start,
       state_change,
       round(extract(epoch FROM here - xact_start)::numeric, 3) AS xact_age_s,
       round(extract(epoch FROM here - query_start)::numeric, 3) AS query_age_s,
       round(extract(epoch FROM here - state_change)::numeric, 3) AS state_age_s,
       age(backend_xid) AS backend_xid_age,
       age(backend_xmin) AS backend_xmin_age,
       query_id::text,                                                                    -- [pg >= 14]
-- [pg < 14]       NULL AS query_id,
       CASE WHEN coalesce(d.encoding, e.encoding) = e.encoding THEN
            CASE WHEN :'query_text' = 'none' THEN NULL
                 WHEN :'query_text' = 'full' AND left(query, 1000) !~* :'secrets' THEN left(query, 1000)
                 ELSE (SELECT string_agg(coalesce(token[1], left(token[2], 0) || '***', left(token[3], 0) || ' ', '''***'''), '')
                         FROM regexp_matches(left(query, 1000), :'tokens', 'g') AS token)
            END
       END AS query
  FROM session s
  LEFT JOIN pg_database d ON d.oid = datid
  JOIN pg_database e ON e.datname = current_database()
 ORDER BY xact_start NULLS LAST, backend_type <> 'client backend', state_change, pid
