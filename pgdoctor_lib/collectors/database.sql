-- source: pg_stat_database, pg_database (postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-DATABASE-VIEW)
-- scope: database
-- rows: one
-- needs: nothing
-- counters: xact_commit, xact_rollback, blks_read, blks_hit, tup_returned, tup_fetched, tup_inserted, tup_updated, tup_deleted, conflicts, temp_files, temp_bytes, deadlocks, checksum_failures, blk_read_time_ms, blk_write_time_ms, session_time_ms, active_time_ms, idle_in_transaction_time_ms, sessions, sessions_abandoned, sessions_fatal, sessions_killed
-- about: This database, and what tells it and its server from others.
--
-- | `datid`, `datname`, `encoding`, `datcollate`, `datctype` | which it is, and how it holds text |
-- | `datcollversion`, `datcollversion_actual` | 15+: the collation's version that the indexes were built with, and the operating system's now |
-- | `datconnlimit` | connections that it takes, −1 for any number |
-- | `public_can_create` | whether any role may create objects in its schema `public`; `null` where there is no such schema |
-- | `size_bytes` | what its relations held at the last VACUUM or ANALYZE of each (`relpages`); the true size, once an hour: `database_sizes` |
-- | `datfrozenxid_age`, `datminmxid_age` | transactions and multixacts since the oldest that is not frozen; there are 2³¹ |
-- | `numbackends` | sessions in it |
-- | `xact_commit`, `xact_rollback`, `conflicts`, `deadlocks` | transactions, queries cancelled on a standby, deadlocks |
-- | `blks_read`, `blks_hit` | blocks read from the operating system, and found in shared buffers |
-- | `blk_read_time_ms`, `blk_write_time_ms` | time that took; 0 with `track_io_timing` off |
-- | `tup_returned`, `tup_fetched`, `tup_inserted`, `tup_updated`, `tup_deleted` | rows |
-- | `temp_files`, `temp_bytes` | what did not fit into `work_mem` |
-- | `checksum_failures`, `checksum_last_failure` | `null`: checksums are off |
-- | `session_time_ms`, `active_time_ms`, `idle_in_transaction_time_ms` | 14+: time spent by sessions, in all and in these states |
-- | `sessions`, `sessions_abandoned`, `sessions_fatal`, `sessions_killed` | 14+: how many there were, and how they ended |
-- | `stats_reset`, `archiver_stats_reset` | counters run since the later of the two: after a crash the first may be `null`, the other (pg_stat_archiver) is its time |
-- | `postmaster_start_time`, `server_time` | when the server started, and its clock now |
-- | `in_recovery` | whether it is a standby |
-- | `system_identifier` | the cluster's own number, as text: the same on its standbys |
-- | `server_version_num` | 150018 for 15.18 |
--
-- After a crash pg_stat_database.stats_reset may be NULL; pg_stat_archiver's is then the time of the crash. Counters
-- run since the later of the two.
SELECT d.oid::bigint AS datid,
       d.datname,
       pg_encoding_to_char(d.encoding) AS encoding,
       d.datcollate::text,
       d.datctype::text,
       d.datcollversion,                                                                  -- [pg >= 15]
       pg_database_collation_actual_version(d.oid) AS datcollversion_actual,              -- [pg >= 15]
-- [pg < 15]       NULL AS datcollversion,
-- [pg < 15]       NULL AS datcollversion_actual,
       d.datconnlimit,
       (SELECT has_schema_privilege('public', oid, 'CREATE') FROM pg_namespace WHERE nspname = 'public') AS public_can_create,
       (SELECT sum(relpages) FROM pg_class)::bigint * current_setting('block_size')::int AS size_bytes,
       age(d.datfrozenxid) AS datfrozenxid_age,
       mxid_age(d.datminmxid) AS datminmxid_age,
       s.numbackends,
       s.xact_commit,
       s.xact_rollback,
       s.blks_read,
       s.blks_hit,
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
       s.blk_read_time AS blk_read_time_ms,
       s.blk_write_time AS blk_write_time_ms,
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
       s.stats_reset,
       (SELECT stats_reset FROM pg_stat_archiver) AS archiver_stats_reset,
       pg_postmaster_start_time() AS postmaster_start_time,
       pg_is_in_recovery() AS in_recovery,
       (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
       current_setting('server_version_num')::int AS server_version_num,
       clock_timestamp() AS server_time
  FROM pg_database d
  LEFT JOIN pg_stat_database s ON s.datid = d.oid
 WHERE d.datname = current_database()
