-- source: pg_stat_database, pg_database (postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-DATABASE-VIEW)
-- scope: server
-- rows: many, 50 each by transactions, datfrozenxid_age, blks_read and temp_bytes, and 50 with failed checksums, another collation version, or not valid
-- needs: nothing
-- counters: xact_commit, xact_rollback, blks_read, blks_hit, blk_read_time_ms, blk_write_time_ms, tup_returned, tup_fetched, tup_inserted, tup_updated, tup_deleted, conflicts, temp_files, temp_bytes, deadlocks, checksum_failures, session_time_ms, active_time_ms, idle_in_transaction_time_ms, sessions, sessions_abandoned, sessions_fatal, sessions_killed, parallel_workers_to_launch, parallel_workers_launched
-- about: Every database of the server, the busiest first; and a row with `datid` 0, whose `datname` and all that only a database has is `null`: what all of them share. Sizes are in `database_sizes`.
--
-- | `datid`, `datname`, `owner`, `spcname` | which it is, whose, and its default tablespace |
-- | `encoding`, `datlocprovider`, `datcollate`, `datctype`, `datlocale` | how it holds and sorts text: `c` libc, `i` ICU (15+), `b` builtin (17+), and of the last two the locale |
-- | `datcollversion`, `datcollversion_actual` | 15+: the collation's version that the indexes were built with, and the system's now. Where they differ, text indexes may be corrupt |
-- | `datistemplate`, `datallowconn`, `can_connect` | whether it is a template, takes sessions at all, and gives CONNECT to PGDoctor's role |
-- | `datconnlimit`, `numbackends` | sessions that it takes, −1 for any number, and −2 for a database whose DROP was interrupted; and how many it has |
-- | `datfrozenxid_age`, `datminmxid_age` | transactions and multixacts since the oldest that is not frozen; there are 2³¹ |
-- | `xact_commit`, `xact_rollback`, `conflicts`, `deadlocks` | transactions, queries cancelled on a standby, deadlocks |
-- | `blks_read`, `blks_hit` | blocks read from the operating system, and found in shared buffers |
-- | `blk_read_time_ms`, `blk_write_time_ms` | time that took; 0 with `track_io_timing` off |
-- | `tup_returned`, `tup_fetched`, `tup_inserted`, `tup_updated`, `tup_deleted` | rows |
-- | `temp_files`, `temp_bytes` | what did not fit into `work_mem` |
-- | `checksum_failures`, `checksum_last_failure` | `null`: checksums are off |
-- | `session_time_ms`, `active_time_ms`, `idle_in_transaction_time_ms` | 14+: time spent by sessions, in all and in these states |
-- | `sessions`, `sessions_abandoned`, `sessions_fatal`, `sessions_killed` | 14+: how many there were, and how they ended |
-- | `parallel_workers_to_launch`, `parallel_workers_launched` | 18+: parallel workers planned, and those that there was room for |
-- | `stats_reset` | since when its counters run, unless the server crashed later: see `stats_since` in `server` |
--
-- The actual version of a collation is asked once for each locale, not for each database: ICU has to open it.
-- numbackends goes through all sessions for each database that is shown. The locale's column is there since 15, under
-- another name until 17: hence the row as JSON.
WITH database AS MATERIALIZED (
    SELECT d.*,
           d.datlocprovider::text AS provider,                                            -- [pg >= 15]
           d.datcollversion AS collversion,                                               -- [pg >= 15]
           d.datlocale AS locale                                                          -- [pg >= 17]
-- [pg < 15]           'c' AS provider,
-- [pg < 15]           NULL AS collversion,
-- [pg < 17]           to_jsonb(d) ->> 'daticulocale' AS locale
      FROM pg_database d
), collation_now AS MATERIALIZED (
    SELECT provider, datcollate, locale,
           pg_database_collation_actual_version(min(oid)) AS version                      -- [pg >= 15]
-- [pg < 15]           NULL AS version
      FROM database
     GROUP BY provider, datcollate, locale
), ranked AS MATERIALIZED (
    SELECT d.oid, d.collversion, a.version AS collversion_actual,
           pg_stat_get_db_xact_commit(d.oid) + pg_stat_get_db_xact_rollback(d.oid) AS transactions,
           age(d.datfrozenxid) AS xid_age,
           pg_stat_get_db_blocks_fetched(d.oid) - pg_stat_get_db_blocks_hit(d.oid) AS reads,
           pg_stat_get_db_temp_bytes(d.oid) AS temp,
           pg_stat_get_db_checksum_failures(d.oid) > 0 OR d.collversion <> a.version OR d.datconnlimit = -2 AS sick
      FROM database d
      JOIN collation_now a ON a.provider = d.provider AND a.datcollate = d.datcollate
                          AND a.locale IS NOT DISTINCT FROM d.locale
), shown AS MATERIALIZED (
    (SELECT oid FROM ranked ORDER BY transactions DESC, oid LIMIT 50)
     UNION (SELECT oid FROM ranked ORDER BY xid_age DESC, oid LIMIT 50)
     UNION (SELECT oid FROM ranked WHERE reads > 0 ORDER BY reads DESC, oid LIMIT 50)
     UNION (SELECT oid FROM ranked WHERE temp > 0 ORDER BY temp DESC, oid LIMIT 50)
     UNION (SELECT oid FROM ranked WHERE sick ORDER BY transactions DESC, oid LIMIT 50)
     UNION SELECT 0
)
SELECT s.datid::bigint,
       d.datname,
       pg_get_userbyid(d.datdba) AS owner,
       t.spcname,
       pg_encoding_to_char(d.encoding) AS encoding,
       d.provider AS datlocprovider,
       d.datcollate::text,
       d.datctype::text,
       d.locale AS datlocale,
       r.collversion AS datcollversion,
       r.collversion_actual AS datcollversion_actual,
       d.datistemplate,
       d.datallowconn,
       has_database_privilege(d.oid, 'CONNECT') AS can_connect,
       d.datconnlimit,
       s.numbackends,
       age(d.datfrozenxid) AS datfrozenxid_age,
       mxid_age(d.datminmxid) AS datminmxid_age,
       s.xact_commit,
       s.xact_rollback,
       s.blks_read,
       s.blks_hit,
       s.blk_read_time AS blk_read_time_ms,
       s.blk_write_time AS blk_write_time_ms,
       s.tup_returned,
       s.tup_fetched,
       s.tup_inserted,
       s.tup_updated,
       s.tup_deleted,
       s.conflicts,
       s.temp_files,
       s.temp_bytes,
       s.deadlocks,
       s.checksum_failures,
       s.checksum_last_failure,
       s.session_time AS session_time_ms,                                                 -- [pg >= 14]
       s.active_time AS active_time_ms,                                                   -- [pg >= 14]
       s.idle_in_transaction_time AS idle_in_transaction_time_ms,                         -- [pg >= 14]
       s.sessions,                                                                        -- [pg >= 14]
       s.sessions_abandoned,                                                              -- [pg >= 14]
       s.sessions_fatal,                                                                  -- [pg >= 14]
       s.sessions_killed,                                                                 -- [pg >= 14]
-- [pg < 14]       NULL::float8 AS session_time_ms,
-- [pg < 14]       NULL::float8 AS active_time_ms,
-- [pg < 14]       NULL::float8 AS idle_in_transaction_time_ms,
-- [pg < 14]       NULL::bigint AS sessions,
-- [pg < 14]       NULL::bigint AS sessions_abandoned,
-- [pg < 14]       NULL::bigint AS sessions_fatal,
-- [pg < 14]       NULL::bigint AS sessions_killed,
       s.parallel_workers_to_launch,                                                      -- [pg >= 18]
       s.parallel_workers_launched,                                                       -- [pg >= 18]
-- [pg < 18]       NULL::bigint AS parallel_workers_to_launch,
-- [pg < 18]       NULL::bigint AS parallel_workers_launched,
       s.stats_reset
  FROM pg_stat_database s
  JOIN shown ON shown.oid = s.datid
  LEFT JOIN database d ON d.oid = s.datid
  LEFT JOIN ranked r ON r.oid = s.datid
  LEFT JOIN pg_tablespace t ON t.oid = d.dattablespace
 ORDER BY s.xact_commit + s.xact_rollback DESC, s.datid
