-- source: pg_stat_activity, pg_blocking_pids() (postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SESSION)
-- scope: server
-- rows: one
-- needs: pg_monitor, else of other roles' sessions nothing is seen
-- variables: query_text (full, masked or none), tokens and secrets (texts.py: how a text is masked)
-- about: One second of a recording.
--
-- | `now` | the server's clock, epoch seconds |
-- | `active`, `waiting` | as recorder.look.sql counts them |
-- | `sessions` | 20 at most: those in others' way, those that wait for a lock for longest, those at a statement for longest |
-- | `edges` | of 20 that wait: `pid`, and `blocking_pids` |
-- | `waits` | how many active client sessions wait for what: the ten most frequent |
--
-- Nobody reads pg_locks here: it costs with each lock there is. Nobody waits: pg_blocking_pids() is not called.
WITH this AS MATERIALIZED (
    SELECT oid, encoding FROM pg_database WHERE datname = current_database()
), everyone AS MATERIALIZED (
    SELECT s.pid, s.datid, s.usesysid, s.application_name, s.backend_type, s.state, s.wait_event_type, s.wait_event,
           s.xact_start, s.query_start, s.state_change, s.query, clock_timestamp() AS here
      FROM pg_stat_get_activity(NULL) s
     WHERE s.pid <> pg_backend_pid()
), active AS MATERIALIZED (
    SELECT * FROM everyone WHERE state IN ('active', 'fastpath function call') AND backend_type = 'client backend'
), waiting AS MATERIALIZED (
    SELECT pid, pg_blocking_pids(pid) AS blocking_pids
      FROM (SELECT pid FROM everyone WHERE wait_event_type = 'Lock' ORDER BY state_change, pid LIMIT 20) w
), shown AS (
    SELECT *
      FROM (SELECT e.*,
                   CASE WHEN e.pid IN (SELECT unnest(blocking_pids) FROM waiting) AND e.pid NOT IN (SELECT pid FROM waiting)
                        THEN 0 WHEN e.wait_event_type = 'Lock' THEN 1 ELSE 2 END AS part
              FROM everyone e) e
     WHERE part < 2 OR pid IN (SELECT pid FROM active)
     ORDER BY part, coalesce(query_start, state_change), pid
     LIMIT 20
), told AS (
    SELECT s.pid, d.datname, pg_get_userbyid(s.usesysid) AS usename, s.application_name, s.backend_type, s.state,
           s.wait_event_type, s.wait_event,
           round(extract(epoch FROM here - xact_start)::numeric, 1) AS xact_age_s,
           round(extract(epoch FROM here - query_start)::numeric, 1) AS query_age_s,
           round(extract(epoch FROM here - state_change)::numeric, 1) AS state_age_s,
           CASE WHEN coalesce(d.encoding, e.encoding) = e.encoding THEN
            CASE WHEN :'query_text' = 'none' THEN NULL
                 WHEN :'query_text' = 'full' AND left(query, 300) !~* :'secrets' THEN left(query, 300)
                 ELSE (SELECT string_agg(coalesce(token[1], left(token[2], 0) || '***', left(token[3], 0) || ' ', '''***'''), '')
                         FROM regexp_matches(left(query, 300), :'tokens', 'g') AS token)
            END
           END AS query
      FROM shown s
      LEFT JOIN pg_database d ON d.oid = s.datid
     CROSS JOIN this e
), wait AS (
    SELECT coalesce(wait_event_type || ': ' || wait_event, 'running') AS event, count(*) AS count
      FROM active GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10
)
SELECT extract(epoch FROM clock_timestamp())::float8 AS now,
       (SELECT count(*) FROM active) AS active,
       (SELECT count(*) FROM everyone WHERE wait_event_type = 'Lock' AND backend_type = 'client backend') AS waiting,
       (SELECT coalesce(json_agg(told), '[]') FROM told) AS sessions,
       (SELECT coalesce(json_agg(waiting), '[]') FROM waiting) AS edges,
       (SELECT coalesce(json_object_agg(event, count), '{}') FROM wait) AS waits
