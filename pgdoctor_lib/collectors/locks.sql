-- source: pg_locks, pg_stat_activity, pg_prepared_xacts, pg_blocking_pids() (postgresql.org/docs/current/view-pg-locks.html)
-- scope: server
-- rows: many, the 50 longest waits, then those of their blockers that wait too
-- needs: pg_monitor, else other roles' queries, states and times are missing
-- variables: query_text (full, masked or none), tokens and secrets (texts.py: how a text is masked)
-- about: Who waits for whom. `rows`: the 50 sessions that have waited longest for a lock, and those of their blockers that wait themselves (50 at most); the longest waits first. `parent_pid` makes a tree of them: each stands below one that is in its way, and at the root is who waits for nobody.
--
-- | `pid`, `locktype`, `mode` | who waits for what kind of lock |
-- | `datname`, `schemaname`, `relname`, `relid`, `page`, `tuple`, `transactionid`, `virtualxid`, `classid`, `objid`, `objsubid` | on what; a relation's name only where it is in this database. Of an advisory lock, `classid` and `objid` are the halves of its key |
-- | `row_relid`, `row_schemaname`, `row_relname` | of one that waits for a transaction to end: the table of the row that it wants, where it has come first in the row's queue |
-- | `waitstart`, `wait_age_s` | 14+: since when |
-- | `waiting_since`, `waiting_s` | `waitstart`; before 14 the time of its last change of state, which is that or earlier |
-- | `usename`, `application_name`, `backend_type`, `state`, `backend_start`, `xact_start`, `query_start`, `xact_age_s`, `query_age_s` | as in `activity` |
-- | `query` | masked as in `activity`, its first 500 characters |
-- | `blocking_pids` | who is in the way; 0 is a prepared transaction |
-- | `parent_pid`, `depth` | of those in the way one that waits for nobody, else the one that has waited longest; and how many steps it is from there to the root |
-- | `root_pid` | the root: who has to end for the tree to come loose. `null`, as is `depth`, where there is none: a deadlock that the server has not found yet, or more blockers in between than are shown |
-- | `blockers` | of the first ten: `pid`, `gid` (of a prepared transaction), `datname`, `usename`, `application_name`, `backend_type`, `state` (`prepared`), `waits` (whether it waits for a lock itself), `backend_start`, `xact_start`, `query_start`, `xact_age_s`, `query_age_s`, `state_age_s`, `query` |
--
-- pg_blocking_pids() takes the lock manager's own locks: it is asked for no more sessions than are shown, and pg_locks
-- is read once, and not where no session waits for a lock (2 µs a lock are much where there are 100,000). Few relations
-- stand in one FROM, and functions in place of views that join: planning is most of the cost while nobody waits.
-- Queries are masked and cut as in activity.sql. A queue of n sessions has n² edges and 2ⁿ ways through
-- them: each session has one parent here, so that the way to its root is one. A prepared transaction has no pid: it is
-- named by the locks that it holds, among them that on its own transactionid.
WITH RECURSIVE this AS MATERIALIZED (
    SELECT oid, encoding FROM pg_database WHERE datname = current_database()
), session AS MATERIALIZED (
    SELECT s.pid, d.datname, d.encoding, pg_get_userbyid(s.usesysid) AS usename, s.application_name, s.backend_type,
           s.state, s.wait_event_type, s.backend_start, s.xact_start, s.query_start, s.state_change,
           CASE WHEN coalesce(d.encoding = (SELECT encoding FROM this), true) THEN left(s.query, 500) END AS query
      FROM pg_stat_get_activity(NULL) s
      LEFT JOIN pg_database d ON d.oid = s.datid
), lock AS MATERIALIZED (
    SELECT l.*
      FROM pg_locks l
     WHERE (NOT granted OR locktype = 'tuple' OR pid IS NULL)
       AND EXISTS (SELECT FROM session WHERE wait_event_type = 'Lock' OR backend_type IS NULL)
), waiting AS MATERIALIZED (
    SELECT l.*,
           waitstart AS waiting_since,                                                    -- [pg >= 14]
-- [pg < 14]           NULL::timestamptz AS waiting_since,
           coalesce(waitstart, a.state_change) AS since,                                  -- [pg >= 14]
-- [pg < 14]           a.state_change AS since,
           a.datname, a.usename, a.application_name, a.backend_type, a.state, a.backend_start, a.xact_start,
           a.query_start,
           clock_timestamp() AS here
      FROM lock l
      LEFT JOIN session a ON a.pid = l.pid
     WHERE NOT granted
), longest AS MATERIALIZED (
    SELECT pid, pg_blocking_pids(pid) AS pids
      FROM (SELECT pid FROM waiting ORDER BY since NULLS LAST, pid LIMIT 50) w
), between AS MATERIALIZED (
    SELECT pid, pg_blocking_pids(pid) AS pids
      FROM (SELECT pid FROM waiting
             WHERE pid IN (SELECT unnest(pids) FROM longest) AND pid NOT IN (SELECT pid FROM longest)
             ORDER BY since NULLS LAST, pid LIMIT 50) w
), blocking AS MATERIALIZED (
    SELECT * FROM longest UNION ALL SELECT * FROM between
), blocker AS MATERIALIZED (
    SELECT a.*,
           a.pid IN (SELECT pid FROM waiting) AS waits
      FROM session a
     WHERE a.pid IN (SELECT unnest(pids) FROM blocking)
), parent AS MATERIALIZED (
    SELECT DISTINCT ON (b.pid) b.pid, p.pid AS parent_pid
      FROM blocking b
     CROSS JOIN unnest(b.pids) AS p (pid)
      LEFT JOIN waiting w ON w.pid = p.pid
      LEFT JOIN blocker a ON a.pid = p.pid
     ORDER BY b.pid, w.pid IS NOT NULL, w.since, a.xact_start, p.pid
), way (pid, parent_pid, top_pid, depth) AS (
    SELECT pid, parent_pid, parent_pid, 1 FROM parent
     UNION ALL
    SELECT way.pid, way.parent_pid, p.parent_pid, depth + 1
      FROM way
      JOIN parent p ON p.pid = top_pid
     WHERE depth < 100
), tree AS MATERIALIZED (
    SELECT way.*, top_pid IN (SELECT w.pid FROM waiting w) AS rootless
      FROM (SELECT DISTINCT ON (pid) * FROM way ORDER BY pid, depth DESC) way
), conflict (mode, modes) AS (
    VALUES ('AccessShareLock', '{AccessExclusiveLock}'::text[]),
           ('RowShareLock', '{ExclusiveLock,AccessExclusiveLock}'),
           ('RowExclusiveLock', '{ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'),
           ('ShareUpdateExclusiveLock', '{ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'),
           ('ShareLock', '{RowExclusiveLock,ShareUpdateExclusiveLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'),
           ('ShareRowExclusiveLock', '{RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'),
           ('ExclusiveLock', '{RowShareLock,RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'),
           ('AccessExclusiveLock', '{AccessShareLock,RowShareLock,RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}')
), xact AS MATERIALIZED (
    SELECT own.virtualtransaction, x.prepared, pg_get_userbyid(x.ownerid) AS owner, d.datname,
           CASE WHEN d.encoding = (SELECT encoding FROM this) THEN x.gid END AS gid
      FROM lock own
      JOIN pg_prepared_xact() x ON x.transaction = own.transactionid
      LEFT JOIN pg_database d ON d.oid = x.dbid
     WHERE own.pid IS NULL AND own.locktype = 'transactionid'
), prepared AS MATERIALIZED (
    SELECT DISTINCT w.pid AS waiter, x.gid, x.owner, x.datname, x.prepared
      FROM waiting w
      JOIN blocking b ON b.pid = w.pid AND 0 = ANY (b.pids)
      JOIN conflict c ON c.mode = w.mode
      JOIN lock h ON h.pid IS NULL AND h.granted AND h.mode = ANY (c.modes)
                 AND (h.locktype, h.database, h.relation, h.page, h.tuple, h.virtualxid, h.transactionid, h.classid, h.objid, h.objsubid)
                     IS NOT DISTINCT FROM
                     (w.locktype, w.database, w.relation, w.page, w.tuple, w.virtualxid, w.transactionid, w.classid, w.objid, w.objsubid)
      JOIN xact x ON x.virtualtransaction = h.virtualtransaction
), relation AS MATERIALIZED (
    SELECT c.oid, n.nspname, c.relname
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = ANY (ARRAY(SELECT DISTINCT l.relation FROM lock l WHERE l.database IN (0, (SELECT oid FROM this))))
), text AS MATERIALIZED (
    SELECT a.pid,
           CASE WHEN :'query_text' = 'none' THEN NULL
                WHEN :'query_text' = 'full' AND left(query, 500) !~* :'secrets' THEN left(query, 500)
                ELSE (SELECT string_agg(coalesce(token[1], left(token[2], 0) || '***', left(token[3], 0) || ' ', '''***'''), '')
                        FROM regexp_matches(left(query, 500), :'tokens', 'g') AS token)
           END AS query
      FROM session a
     WHERE a.pid IN (SELECT pid FROM blocking UNION SELECT unnest(pids) FROM blocking)
       AND coalesce(a.encoding, (SELECT encoding FROM this)) = (SELECT encoding FROM this)
)
SELECT w.pid,
       w.locktype,
       w.mode,
       w.datname,
       c.nspname AS schemaname,
       c.relname,
       w.relation::bigint AS relid,
       w.page,
       w.tuple,
       w.transactionid::text,
       w.virtualxid,
       w.classid::bigint AS classid,
       w.objid::bigint AS objid,
       w.objsubid,
       o.relation::bigint AS row_relid,
       rc.nspname AS row_schemaname,
       rc.relname AS row_relname,
       w.waiting_since AS waitstart,
       round(extract(epoch FROM here - w.waiting_since)::numeric, 3) AS wait_age_s,
       w.since AS waiting_since,
       round(extract(epoch FROM here - w.since)::numeric, 3) AS waiting_s,
       w.usename,
       w.application_name,
       w.backend_type,
       w.state,
       w.backend_start,
       w.xact_start,
       w.query_start,
       round(extract(epoch FROM here - w.xact_start)::numeric, 3) AS xact_age_s,
       round(extract(epoch FROM here - w.query_start)::numeric, 3) AS query_age_s,
       t.query,
       b.pids AS blocking_pids,
       tree.parent_pid,
       CASE WHEN NOT tree.rootless THEN tree.depth END AS depth,
       CASE WHEN NOT tree.rootless THEN tree.top_pid END AS root_pid,
       (SELECT json_agg(blocker ORDER BY xact_start, pid)
          FROM (
           SELECT bt.xact_start, bt.pid,
                  json_build_object(
                   'pid', bt.pid, 'gid', NULL, 'datname', bt.datname, 'usename', bt.usename,
                   'application_name', bt.application_name, 'backend_type', bt.backend_type,
                   'state', bt.state, 'waits', bt.waits,
                   'backend_start', bt.backend_start, 'xact_start', bt.xact_start, 'query_start', bt.query_start,
                   'xact_age_s', round(extract(epoch FROM here - bt.xact_start)::numeric, 3),
                   'query_age_s', round(extract(epoch FROM here - bt.query_start)::numeric, 3),
                   'state_age_s', round(extract(epoch FROM here - bt.state_change)::numeric, 3),
                   'query', bq.query) AS blocker
             FROM blocker bt
             LEFT JOIN text bq ON bq.pid = bt.pid
            WHERE bt.pid = ANY (b.pids[1:10])
            UNION ALL
           (SELECT p.prepared, 0,
                  json_build_object(
                   'pid', 0, 'gid', p.gid, 'datname', p.datname, 'usename', p.owner,
                   'application_name', NULL, 'backend_type', NULL,
                   'state', 'prepared', 'waits', false,
                   'backend_start', NULL, 'xact_start', p.prepared, 'query_start', NULL,
                   'xact_age_s', round(extract(epoch FROM here - p.prepared)::numeric, 3),
                   'query_age_s', NULL,
                   'state_age_s', round(extract(epoch FROM here - p.prepared)::numeric, 3),
                   'query', NULL)
             FROM prepared p
            WHERE p.waiter = w.pid
            ORDER BY p.prepared LIMIT 10)
          ) found (xact_start, pid, blocker)) AS blockers
  FROM waiting w
  JOIN blocking b ON b.pid = w.pid
  LEFT JOIN tree ON tree.pid = w.pid
  LEFT JOIN text t ON t.pid = w.pid
  LEFT JOIN lock o ON o.pid = w.pid AND o.locktype = 'tuple' AND o.granted AND w.locktype = 'transactionid'
  LEFT JOIN relation c ON c.oid = w.relation AND w.database IN (0, (SELECT oid FROM this))
  LEFT JOIN relation rc ON rc.oid = o.relation AND o.database IN (0, (SELECT oid FROM this))
 ORDER BY w.since NULLS LAST, w.pid
