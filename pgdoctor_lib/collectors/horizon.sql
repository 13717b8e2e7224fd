-- source: pg_stat_activity, pg_replication_slots, pg_stat_replication, pg_prepared_xacts (postgresql.org/docs/current/routine-vacuuming.html#VACUUM-BASICS)
-- scope: server
-- rows: one
-- needs: pg_monitor, else other roles' sessions and standbys are missing
-- about: What keeps VACUUM from cleaning: of each kind of holder the one that holds the oldest transaction, and which of them is the oldest. All is `null` where nothing is held.
--
-- | `oldest_source`, `oldest_xmin`, `oldest_xmin_age` | the prefix of the oldest holder below (`session`, `prepared`, `feedback`, `slot`, `catalog_slot`); the transaction that it holds, and how many have begun since |
-- | `session_xmin_age`, `session_pid`, `session_datname`, `session_usename`, `session_application_name`, `session_backend_type` | the session whose own transaction or snapshot is the oldest; it holds back the tables of its database. VACUUM's own do not, nor do those of `feedback` stand here |
-- | `session_has_xid` | whether it holds by a transaction of its own (it has written), else by a snapshot |
-- | `session_state`, `session_xact_start`, `session_xact_age_s`, `session_state_age_s` | as in `activity` |
-- | `session_count` | sessions that hold anything |
-- | `prepared_xmin_age`, `prepared_gid`, `prepared_owner`, `prepared_datname`, `prepared_prepared`, `prepared_age_s` | the oldest prepared transaction |
-- | `feedback_xmin_age`, `feedback_pid`, `feedback_application_name`, `feedback_client_addr`, `feedback_backend_start` | the standby whose hot_standby_feedback holds the oldest; with a slot it shows at `slot` alone |
-- | `slot_xmin_age`, `slot_name`, `slot_type`, `slot_active`, `slot_inactive_since` | the replication slot that holds rows (its xmin); `slot_inactive_since` 17+ |
-- | `catalog_slot_xmin_age`, `catalog_slot_name`, `catalog_slot_type`, `catalog_slot_active`, `catalog_slot_inactive_since`, `catalog_slot_database` | the replication slot that holds rows of system catalogs (its catalog_xmin) |
--
-- Of equal ages the one counts that the others follow: a snapshot is as old as the oldest transaction that ran when it
-- was taken. VACUUM sets a flag so that its snapshot holds nothing; it shows in the progress view alone.
WITH running AS MATERIALIZED (
    SELECT a.pid, a.datname, a.usename, a.application_name, a.client_addr, a.backend_type, a.backend_start, a.state,
           a.xact_start, a.state_change, a.backend_xid,
           coalesce(age(backend_xid), -1) >= coalesce(age(backend_xmin), -1) AS has_xid,
           CASE WHEN coalesce(age(backend_xid), -1) >= coalesce(age(backend_xmin), -1)
                THEN backend_xid ELSE backend_xmin END AS xmin,
           pid IN (SELECT pid FROM pg_stat_get_wal_senders()) AS sender
      FROM pg_stat_activity a
     WHERE (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL)
       AND pid <> pg_backend_pid()
       AND pid NOT IN (SELECT v.pid FROM pg_stat_get_progress_info('VACUUM') v)
), session AS (
    SELECT * FROM running WHERE NOT sender ORDER BY age(xmin) DESC, NOT has_xid, xact_start, pid LIMIT 1
), feedback AS (
    SELECT * FROM running WHERE sender ORDER BY age(xmin) DESC, pid LIMIT 1
), prepared AS (
    SELECT CASE WHEN d.encoding = e.encoding THEN x.gid END AS gid, x.transaction AS xmin, x.owner, x.database, x.prepared
      FROM pg_prepared_xacts x
      LEFT JOIN pg_database d ON d.datname = x.database
      JOIN pg_database e ON e.datname = current_database()
     ORDER BY age(x.transaction) DESC LIMIT 1
), slots AS MATERIALIZED (
    SELECT s.slot_name, s.slot_type, s.active, s.database, s.xmin, s.catalog_xmin,
           s.inactive_since                                                               -- [pg >= 17]
-- [pg < 17]           NULL::timestamptz AS inactive_since
      FROM pg_replication_slots s
), slot AS (
    SELECT * FROM slots WHERE xmin IS NOT NULL ORDER BY age(xmin) DESC, slot_name LIMIT 1
), catalog_slot AS (
    SELECT * FROM slots WHERE catalog_xmin IS NOT NULL ORDER BY age(catalog_xmin) DESC, slot_name LIMIT 1
), oldest AS (
    SELECT *
      FROM (
       SELECT 'session' AS source, xmin, CASE WHEN has_xid THEN 1 ELSE 3 END AS rank FROM session
        UNION ALL SELECT 'prepared', xmin, 2 FROM prepared
        UNION ALL SELECT 'feedback', xmin, 4 FROM feedback
        UNION ALL SELECT 'slot', xmin, 5 FROM slot
        UNION ALL SELECT 'catalog_slot', catalog_xmin, 6 FROM catalog_slot) t
     ORDER BY age(xmin) DESC, rank LIMIT 1
)
SELECT o.source AS oldest_source,
       o.xmin::text AS oldest_xmin,
       age(o.xmin) AS oldest_xmin_age,
       age(s.xmin) AS session_xmin_age,
       s.pid AS session_pid,
       s.datname AS session_datname,
       s.usename AS session_usename,
       s.application_name AS session_application_name,
       s.backend_type AS session_backend_type,
       s.has_xid AS session_has_xid,
       s.state AS session_state,
       s.xact_start AS session_xact_start,
       round(extract(epoch FROM here - s.xact_start)::numeric, 3) AS session_xact_age_s,
       round(extract(epoch FROM here - s.state_change)::numeric, 3) AS session_state_age_s,
       (SELECT count(*) FROM running WHERE NOT sender) AS session_count,
       age(p.xmin) AS prepared_xmin_age,
       p.gid AS prepared_gid,
       p.owner AS prepared_owner,
       p.database AS prepared_datname,
       p.prepared AS prepared_prepared,
       round(extract(epoch FROM here - p.prepared)::numeric, 3) AS prepared_age_s,
       age(f.xmin) AS feedback_xmin_age,
       f.pid AS feedback_pid,
       f.application_name AS feedback_application_name,
       host(f.client_addr) AS feedback_client_addr,
       f.backend_start AS feedback_backend_start,
       age(r.xmin) AS slot_xmin_age,
       r.slot_name,
       r.slot_type,
       r.active AS slot_active,
       r.inactive_since AS slot_inactive_since,
       age(c.catalog_xmin) AS catalog_slot_xmin_age,
       c.slot_name AS catalog_slot_name,
       c.slot_type AS catalog_slot_type,
       c.active AS catalog_slot_active,
       c.inactive_since AS catalog_slot_inactive_since,
       c.database AS catalog_slot_database
  FROM (SELECT clock_timestamp() AS here) clock
  LEFT JOIN oldest o ON true
  LEFT JOIN session s ON true
  LEFT JOIN prepared p ON true
  LEFT JOIN feedback f ON true
  LEFT JOIN slot r ON true
  LEFT JOIN catalog_slot c ON true
