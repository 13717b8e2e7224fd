-- source: pg_locks
-- scope: server
-- rows: one
-- needs: pg_monitor, else the longest wait is missing before 14
--
-- | `count`, `granted_count` | locks waited for, and held |
-- | `shared_count` | of those held, the ones that take room in the shared table of locks: not those by fast path, nor SIReadLock |
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
    SELECT mode, granted, locktype, count(*) AS n, count(*) FILTER (WHERE NOT fastpath) AS shared,
           min(waitstart) FILTER (WHERE NOT granted) AS waitstart,                        -- [pg >= 14]
           min(waitstart) FILTER (WHERE NOT granted) AS waiting_since                     -- [pg >= 14]
-- [pg < 14]           NULL::timestamptz AS waitstart,
-- [pg < 14]           min(a.state_change) FILTER (WHERE NOT granted) AS waiting_since
      FROM pg_locks l
-- [pg < 14]      LEFT JOIN pg_stat_get_activity(NULL) a ON a.pid = l.pid
     WHERE l.pid IS DISTINCT FROM pg_backend_pid()
     GROUP BY mode, granted, locktype
), lock AS MATERIALIZED (
    SELECT locktype, coalesce(database, 0) AS database, coalesce(relation, 0) AS relation, coalesce(page, -1) AS page,
           coalesce(tuple, '-1') AS tuple, coalesce(virtualxid, '') AS virtualxid,
           coalesce(transactionid, '0') AS transactionid, coalesce(classid, 0) AS classid, coalesce(objid, 0) AS objid,
           coalesce(objsubid, '-1') AS objsubid, virtualtransaction, pid, mode, granted
      FROM pg_locks
     WHERE EXISTS (SELECT FROM held WHERE NOT granted)
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
      FROM lock w
      JOIN conflict c USING (mode)
      JOIN lock g USING (locktype, database, relation, page, tuple, virtualxid, transactionid, classid, objid, objsubid)
     WHERE NOT w.granted
       AND g.granted
       AND g.mode = ANY (c.modes)
       AND NOT EXISTS (SELECT FROM lock h WHERE h.pid = g.pid AND NOT h.granted)
)
SELECT coalesce(sum(n) FILTER (WHERE NOT granted), 0)::bigint AS count,
       coalesce(sum(n) FILTER (WHERE granted), 0)::bigint AS granted_count,
       coalesce(sum(shared) FILTER (WHERE granted AND mode <> 'SIReadLock'), 0)::bigint AS shared_count,
       (SELECT json_object_agg(mode, n) FROM (
               SELECT mode, sum(n) AS n FROM held WHERE granted GROUP BY mode ORDER BY mode) t) AS granted_by_mode,
       (SELECT json_object_agg(mode, n) FROM (
               SELECT mode, sum(n) AS n FROM held WHERE NOT granted GROUP BY mode ORDER BY mode) t) AS waiting_by_mode,
       (SELECT json_object_agg(locktype, n) FROM (
               SELECT locktype, sum(n) AS n FROM held WHERE NOT granted GROUP BY locktype ORDER BY locktype) t) AS waiting_by_locktype,
       round(extract(epoch FROM clock_timestamp() - min(waitstart))::numeric, 3) AS longest_wait_s,
       round(extract(epoch FROM clock_timestamp() - min(waiting_since))::numeric, 3) AS longest_waiting_s,
       (SELECT count(*) FROM root) AS root_count,
       (SELECT count(*) FROM root WHERE pid IS NULL) AS prepared_root_count
  FROM held
