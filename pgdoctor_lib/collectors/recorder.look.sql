-- source: pg_stat_activity (postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW)
-- scope: server
-- rows: one
-- needs: pg_monitor, else of other roles' sessions nothing is seen
-- about: How many client sessions work, and how many of them wait for a lock: what the recorder asks between two cycles.
--
-- | `active`, `waiting` | client sessions that are at a statement, and of these those that wait for a lock |
--
-- The function in place of the view, which would look up every session's role and database.
SELECT count(*) FILTER (WHERE state IN ('active', 'fastpath function call')) AS active,
       count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting
  FROM pg_stat_get_activity(NULL)
 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
