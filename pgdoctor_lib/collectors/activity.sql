-- source: pg_stat_activity (postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW)
-- scope: server
-- rows: many, 20 by age of transaction, then client backends by age of state; and 10 each by age of query and by age of idling in a transaction
-- needs: pg_monitor, else of other roles' sessions little more than their number is seen
-- variables: query_text (full, masked or none), tokens and secrets (texts.py: how a text is masked)
-- about: Who does what on the server. `rows`: the 20 sessions with the oldest transactions, then client sessions that have been longest in their state; and the 10 each with the oldest running queries, and idle in a transaction for longest. The oldest transactions first; PGDoctor's own session is left out.
--
-- | `pid`, `leader_pid` | process, and of a parallel worker (13+) its leader |
-- | `parallel_worker_count` | 13+: how many parallel workers it leads |
-- | `datname`, `usename`, `application_name`, `client_addr`, `backend_type` | who and where; no address for a local socket |
-- | `state`, `wait_event_type`, `wait_event` | what it does, what it waits for |
-- | `backend_start`, `xact_start`, `query_start`, `state_change` | since when it is there, in its transaction, at its query, in its state |
-- | `xact_age_s`, `query_age_s`, `state_age_s` | the same as seconds, by the server's clock |
-- | `backend_xid_age`, `backend_xmin_age` | transactions since its own, and since the oldest that it may still see: what keeps vacuum from cleaning |
-- | `query_id` | 14+, as text: `fingerprint` of a top query |
-- | `query` | the first 1,000 characters, masked: see [query texts](#query-texts). `null` for a session of a database in another encoding |
--
-- query is cut, then masked: a constant that the cut leaves open is masked to its end. It is NULL where the session's
-- database has another encoding than this one, since its bytes may be no text here. A parallel worker's query is its
-- leader's: it stands among the oldest queries once, with the leader.
WITH everyone AS MATERIALIZED (
    SELECT a.*, clock_timestamp() AS here
      FROM pg_stat_activity a
     WHERE pid <> pg_backend_pid()
), shown AS (
    (SELECT pid FROM everyone ORDER BY xact_start NULLS LAST, backend_type <> 'client backend', state_change, pid LIMIT 20)
     UNION (SELECT pid FROM everyone WHERE state = 'active' AND backend_type = 'client backend' ORDER BY query_start, pid LIMIT 10)
     UNION (SELECT pid FROM everyone WHERE state LIKE 'idle in transaction%' ORDER BY state_change, pid LIMIT 10)
), session AS MATERIALIZED (
    SELECT * FROM everyone WHERE pid IN (SELECT pid FROM shown)
)
SELECT pid,
       leader_pid,                                                                        -- [pg >= 13]
       (SELECT count(*) FROM everyone w WHERE w.leader_pid = s.pid AND w.pid <> s.pid) AS parallel_worker_count,  -- [pg >= 13]
-- [pg < 13]       NULL::int AS leader_pid,
-- [pg < 13]       NULL::bigint AS parallel_worker_count,
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
