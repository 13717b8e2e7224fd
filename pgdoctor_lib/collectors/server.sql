-- source: pg_control_*(), pg_settings, pg_stat_archiver (postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-CONTROLDATA)
-- scope: server
-- rows: one
-- needs: nothing; a standby's timeline as of its last restartpoint without pg_monitor
-- counters: next_xid, wal_position_bytes
-- about: The server as a whole: what it is, since when it runs, where it is in its WAL, how many of what it takes. The same whichever of its databases is connected to, but for `stats_since`.
--
-- | `server_version_num`, `server_version`, `version` | 150018 for 15.18; "15.18 (Debian …)"; and version(), with compiler and platform |
-- | `provider` | the managed service it belongs to: `aurora`, `rds`, `alloydb`, `cloudsql`, `azure`, `neon`; `null` for any other server. Told by settings and databases that these have |
-- | `system_identifier` | the cluster's own number, as text: the same on its standbys |
-- | `cluster_name`, `in_recovery`, `timeline_id` | the name set for it; whether it is a standby; its timeline, of a standby the one that it receives |
-- | `postmaster_start_time`, `uptime_s`, `conf_load_time`, `server_time` | when it started, seconds since then, when it last read its configuration, and its clock now |
-- | `stats_since` | since when counters run, by this database's pg_stat_database and by pg_stat_archiver: the later of both, which a crash moves and a clean restart does not |
-- | `archiver_stats_reset` | pg_stat_archiver's alone: the time of a crash, or of a reset by hand |
-- | `wal_lsn`, `wal_position_bytes` | how far WAL is written, or on a standby replayed, as an LSN and as bytes since the cluster's first; `null` on Aurora |
-- | `next_xid` | the next transaction's id with its epoch, 64 bits: grows by one with every transaction that writes |
-- | `checkpoint_lsn`, `redo_lsn`, `checkpoint_time`, `checkpoint_age_s` | the last checkpoint, or restartpoint: its place, where recovery would begin, and when |
-- | `data_checksums`, `block_size`, `wal_segment_size_bytes` | what the cluster was made with |
-- | `encoding`, `datlocprovider`, `datcollate`, `datctype` | of template1, which new databases are copied from; the provider (15+, before always `c`) is `c` libc, `i` ICU or `b` builtin |
-- | `timezone` | of this session, by default the server's |
-- | `max_connections`, `superuser_reserved_connections`, `reserved_connections` | sessions that it takes, and how many of these it keeps for superusers, and (16+) for pg_use_reserved_connections |
-- | `max_worker_processes`, `max_wal_senders`, `max_replication_slots`, `max_prepared_transactions`, `max_locks_per_transaction`, `autovacuum_max_workers` | other limits that only a restart lifts (the last: in 18+ at once, up to `autovacuum_worker_slots`) |
-- | `shared_buffers_bytes`, `shared_memory_size_bytes` (15+) | the cache; all shared memory |
-- | `huge_pages`, `huge_pages_status` (17+), `shared_memory_size_in_huge_pages` (15+) | asked for: `on`, `off` or `try`; whether they are in use; how many it would take |
--
-- A database of a managed service is looked for as well as settings: some of these only its own administrators see.
-- Aurora has no WAL of its own, and refuses some of the functions; not tried there.
WITH here AS MATERIALIZED (
    SELECT recovering,
           aurora,
           CASE WHEN aurora THEN NULL
                WHEN recovering THEN coalesce(pg_last_wal_replay_lsn(), pg_last_wal_receive_lsn())
                ELSE pg_current_wal_lsn()
           END AS lsn,
           CASE WHEN NOT recovering AND NOT aurora
                THEN ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int
           END AS primary_tli,
           CASE WHEN recovering AND NOT aurora THEN (SELECT received_tli FROM pg_stat_wal_receiver) END AS received_tli
      FROM (SELECT pg_is_in_recovery() AS recovering,
                   to_regproc('pg_catalog.aurora_version') IS NOT NULL AS aurora) t
), service AS MATERIALIZED (
    SELECT array_agg(word) AS words
      FROM (SELECT split_part(name, '.', 1) AS word FROM pg_settings WHERE name LIKE '%.%'
             UNION SELECT datname::text FROM pg_database WHERE datname ~ '^(rdsadmin|alloydbadmin|cloudsqladmin|azure_.*)$') t
)
SELECT current_setting('server_version_num')::int AS server_version_num,
       current_setting('server_version') AS server_version,
       version() AS version,
       CASE WHEN here.aurora THEN 'aurora'
            WHEN words && '{rds,rdsadmin}' THEN 'rds'
            WHEN words && '{alloydb,alloydbadmin}' THEN 'alloydb'
            WHEN words && '{cloudsql,cloudsqladmin}' THEN 'cloudsql'
            WHEN words && '{azure,azure_maintenance,azure_sys}' THEN 'azure'
            WHEN words && '{neon}' THEN 'neon'
       END AS provider,
       s.system_identifier::text,
       nullif(current_setting('cluster_name'), '') AS cluster_name,
       here.recovering AS in_recovery,
       coalesce(here.primary_tli, greatest(here.received_tli, c.timeline_id, r.min_recovery_end_timeline)) AS timeline_id,
       pg_postmaster_start_time() AS postmaster_start_time,
       round(extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::numeric, 3) AS uptime_s,
       pg_conf_load_time() AS conf_load_time,
       clock_timestamp() AS server_time,
       greatest((SELECT pg_stat_get_db_stat_reset_time(oid) FROM pg_database WHERE datname = current_database()),
                a.stats_reset) AS stats_since,
       a.stats_reset AS archiver_stats_reset,
       here.lsn::text AS wal_lsn,
       pg_wal_lsn_diff(here.lsn, '0/0') AS wal_position_bytes,
       txid_snapshot_xmax(txid_current_snapshot()) AS next_xid,
       c.checkpoint_lsn::text,
       c.redo_lsn::text,
       c.checkpoint_time,
       round(extract(epoch FROM clock_timestamp() - c.checkpoint_time)::numeric, 3) AS checkpoint_age_s,
       current_setting('data_checksums') = 'on' AS data_checksums,
       current_setting('block_size')::int AS block_size,
       i.bytes_per_wal_segment AS wal_segment_size_bytes,
       pg_encoding_to_char(d.encoding) AS encoding,
       d.datlocprovider::text,                                                            -- [pg >= 15]
-- [pg < 15]       'c' AS datlocprovider,
       d.datcollate::text,
       d.datctype::text,
       current_setting('TimeZone') AS timezone,
       current_setting('max_connections')::int AS max_connections,
       current_setting('superuser_reserved_connections')::int AS superuser_reserved_connections,
       coalesce(current_setting('reserved_connections', true), '0')::int AS reserved_connections,
       current_setting('max_worker_processes')::int AS max_worker_processes,
       current_setting('max_wal_senders')::int AS max_wal_senders,
       current_setting('max_replication_slots')::int AS max_replication_slots,
       current_setting('max_prepared_transactions')::int AS max_prepared_transactions,
       current_setting('max_locks_per_transaction')::int AS max_locks_per_transaction,
       current_setting('autovacuum_max_workers')::int AS autovacuum_max_workers,
       pg_size_bytes(current_setting('shared_buffers')) AS shared_buffers_bytes,
       pg_size_bytes(current_setting('shared_memory_size')) AS shared_memory_size_bytes,  -- [pg >= 15]
-- [pg < 15]       NULL::bigint AS shared_memory_size_bytes,
       current_setting('huge_pages') AS huge_pages,
       current_setting('huge_pages_status') AS huge_pages_status,                         -- [pg >= 17]
-- [pg < 17]       NULL AS huge_pages_status,
       nullif(current_setting('shared_memory_size_in_huge_pages')::int, -1) AS shared_memory_size_in_huge_pages  -- [pg >= 15]
-- [pg < 15]       NULL::int AS shared_memory_size_in_huge_pages
  FROM here
 CROSS JOIN service
 CROSS JOIN pg_control_system() s
 CROSS JOIN pg_control_checkpoint() c
 CROSS JOIN pg_control_recovery() r
 CROSS JOIN pg_control_init() i
 CROSS JOIN pg_stat_archiver a
  LEFT JOIN pg_database d ON d.datname = 'template1'
