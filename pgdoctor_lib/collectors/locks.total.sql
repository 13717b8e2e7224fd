-- source: pg_locks
-- scope: server
-- rows: one
-- needs: pg_monitor, else the longest wait is missing before 14
--
-- | `count`, `granted_count` | locks waited for, and held |
-- | `granted_by_mode`, `waiting_by_mode`, `waiting_by_locktype` | the same by mode, and the waits by kind |
-- | `longest_wait_s` | 14+ |
-- | `longest_waiting_s` | the same on any version: see `waiting_since` |
-- | `root_count` | sessions and prepared transactions that others wait for and that wait for nobody themselves |
-- | `prepared_root_count` | prepared transactions among them |
--
-- Roots are told without pg_blocking_pids(), which would have to be asked for every waiting session: who holds, in a
-- mode that conflicts, what another one waits for. A session that is blocked only by one that waits in the queue before
-- it has that one's roots, so that all are found. With nobody waiting, that is not asked. A prepared transaction has no pid, but a virtualtransaction.
WITH held AS MATERIALIZED (
    SELECT mode, granted, l.pid, locktype,
           waitstart,                                                                     -- [pg >= 14]
           waitstart AS waiting_since                                                     -- [pg >= 14]
-- [pg < 14]           NULL::timestamptz AS waitstart,
-- [pg < 14]           CASE WHEN NOT granted THEN a.state_change END AS waiting_since
      FROM pg_locks l
-- [pg < 14]      LEFT JOIN pg_stat_get_activity(NULL) a ON a.pid = l.pid
     WHERE l.pid IS DISTINCT FROM pg_backend_pid()
), conflict (mode, modes) AS (
    VALUES ('AccessShareLock', '{AccessExclusiveLock}'::text[]),
           ('RowShareLock', '{ExclusiveLock,AccessExclusiveLock}'),
           ('RowExclusiveLock', '{ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'),
           ('ShareUpdateExclusiveLock', '{ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'),
           ('ShareLock', '{RowExclusiveLock,ShareUpdateExclusiveLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'),
           ('ShareRowExclusiveLock', '{RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'),
           ('ExclusiveLock', '{RowShareLock,RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'),
           ('AccessExclusiveLock', '{AccessShareLock,RowShareLock,RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}')
), root AS MATERIALIZED (
    SELECT DISTINCT g.virtualtransaction, g.pid
      FROM pg_locks w
      JOIN conflict c ON c.mode = w.mode
      JOIN pg_locks g ON g.locktype = w.locktype
                     AND coalesce(g.database, 0) = coalesce(w.database, 0)
                     AND coalesce(g.relation, 0) = coalesce(w.relation, 0)
                     AND coalesce(g.page, -1) = coalesce(w.page, -1)
                     AND coalesce(g.tuple, '-1') = coalesce(w.tuple, '-1')
                     AND coalesce(g.virtualxid, '') = coalesce(w.virtualxid, '')
                     AND coalesce(g.transactionid, '0') = coalesce(w.transactionid, '0')
                     AND coalesce(g.classid, 0) = coalesce(w.classid, 0)
                     AND coalesce(g.objid, 0) = coalesce(w.objid, 0)
                     AND coalesce(g.objsubid, '-1') = coalesce(w.objsubid, '-1')
                     AND g.mode = ANY (c.modes)
     WHERE EXISTS (SELECT FROM held WHERE NOT granted)
       AND NOT w.granted
       AND g.granted
       AND NOT EXISTS (SELECT FROM held h WHERE h.pid = g.pid AND NOT h.granted)
)
SELECT count(*) FILTER (WHERE NOT granted) AS count,
       count(*) FILTER (WHERE granted) AS granted_count,
       (SELECT json_object_agg(mode, n) FROM (
               SELECT mode, count(*) AS n FROM held WHERE granted GROUP BY mode ORDER BY mode) t) AS granted_by_mode,
       (SELECT json_object_agg(mode, n) FROM (
               SELECT mode, count(*) AS n FROM held WHERE NOT granted GROUP BY mode ORDER BY mode) t) AS waiting_by_mode,
       (SELECT json_object_agg(locktype, n) FROM (
               SELECT locktype, count(*) AS n FROM held WHERE NOT granted GROUP BY locktype ORDER BY locktype) t) AS waiting_by_locktype,
       round(extract(epoch FROM clock_timestamp() - min(waitstart) FILTER (WHERE NOT granted))::numeric, 3) AS longest_wait_s,
       round(extract(epoch FROM clock_timestamp() - min(waiting_since) FILTER (WHERE NOT granted))::numeric, 3) AS longest_waiting_s,
       (SELECT count(*) FROM root) AS root_count,
       (SELECT count(*) FROM root WHERE pid IS NULL) AS prepared_root_count
  FROM held
