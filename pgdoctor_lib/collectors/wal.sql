-- source: pg_stat_wal, pg_current_wal_lsn(), pg_ls_waldir() (postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-WAL-VIEW)
-- scope: server
-- cadence: minutes
-- rows: one
-- needs: pg_monitor, else the files are not counted
-- counters: lsn_bytes, wal_records, wal_fpi, wal_bytes, wal_buffers_full, wal_write, wal_sync, wal_write_time_ms, wal_sync_time_ms
-- about: The write-ahead log: how much is written, what of it lies on disk, and the settings that govern it (pg_stat_wal, pg_ls_waldir()). One row.
--
-- | `lsn`, `lsn_bytes` | where the server is, and the same as bytes from 0 on: the difference of two is what was written in between. On a standby the later of received and replayed |
-- | `wal_records`, `wal_fpi`, `wal_bytes` | 14+: records, full page images, and bytes written by this server |
-- | `wal_buffers_full` | 14+: how often a backend had to write since `wal_buffers` was full |
-- | `wal_write`, `wal_sync`, `wal_write_time_ms`, `wal_sync_time_ms` | 14 to 17: writes and syncs of WAL, and their time (with `track_wal_io_timing`); 18 counts them in pg_stat_io |
-- | `stats_reset` | 14+: since when it is counted |
-- | `wal_file_count`, `wal_files_bytes` | files in pg_wal, those kept for later use among them; `null` where the role may not see it |
-- | `wal_segment_size_bytes` | the size of a file |
-- | `min_wal_size_bytes`, `max_wal_size_bytes` | what is kept for use again, and what may be written before a checkpoint comes of it |
-- | `wal_keep_size_bytes` | what is kept for standbys without a slot (12: `wal_keep_segments`) |
-- | `wal_level`, `wal_compression`, `full_page_writes` | the settings |
--
-- wal_write and its like are in the view on 14 to 17 alone: the row is asked for them by name, as JSON.
-- Why pg_ls_waldir() is called from a statement within, and the cadence: see archiver.sql.
WITH here AS MATERIALIZED (
    SELECT CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                ELSE pg_current_wal_lsn() END AS lsn
), directory AS MATERIALIZED (
    SELECT CASE WHEN has_function_privilege('pg_ls_waldir()', 'EXECUTE')
                THEN query_to_xml(
                         'SELECT count(*) AS n, coalesce(sum(size), 0) AS bytes'
                         ' FROM pg_ls_waldir() WHERE name ~ ''^[0-9A-F]{24}$''', false, true, '')::text
           END AS files
)
SELECT lsn::text,
       pg_wal_lsn_diff(lsn, '0/0') AS lsn_bytes,
       w.wal_records,                                                                     -- [pg >= 14]
       w.wal_fpi,                                                                         -- [pg >= 14]
       w.wal_bytes,                                                                       -- [pg >= 14]
       w.wal_buffers_full,                                                                -- [pg >= 14]
-- [pg < 14]       NULL::bigint AS wal_records,
-- [pg < 14]       NULL::bigint AS wal_fpi,
-- [pg < 14]       NULL::numeric AS wal_bytes,
-- [pg < 14]       NULL::bigint AS wal_buffers_full,
-- [pg < 14]       NULL::bigint AS wal_write,
-- [pg < 14]       NULL::bigint AS wal_sync,
-- [pg < 14]       NULL::float8 AS wal_write_time_ms,
-- [pg < 14]       NULL::float8 AS wal_sync_time_ms,
-- [pg < 14]       NULL::timestamptz AS stats_reset,
       (to_json(w) ->> 'wal_write')::bigint AS wal_write,                                 -- [pg >= 14]
       (to_json(w) ->> 'wal_sync')::bigint AS wal_sync,                                   -- [pg >= 14]
       (to_json(w) ->> 'wal_write_time')::float8 AS wal_write_time_ms,                    -- [pg >= 14]
       (to_json(w) ->> 'wal_sync_time')::float8 AS wal_sync_time_ms,                      -- [pg >= 14]
       w.stats_reset,                                                                     -- [pg >= 14]
       substring(files FROM '<n>([0-9]+)<')::bigint AS wal_file_count,
       substring(files FROM '<bytes>([0-9]+)<')::bigint AS wal_files_bytes,
       pg_size_bytes(current_setting('wal_segment_size')) AS wal_segment_size_bytes,
       pg_size_bytes(current_setting('min_wal_size')) AS min_wal_size_bytes,
       pg_size_bytes(current_setting('max_wal_size')) AS max_wal_size_bytes,
       pg_size_bytes(current_setting('wal_keep_size')) AS wal_keep_size_bytes,            -- [pg >= 13]
-- [pg < 13]       current_setting('wal_keep_segments')::bigint * pg_size_bytes(current_setting('wal_segment_size')) AS wal_keep_size_bytes,
       current_setting('wal_level') AS wal_level,
       current_setting('wal_compression') AS wal_compression,
       current_setting('full_page_writes')::boolean AS full_page_writes
  FROM here, directory
       , pg_stat_wal w                                                                    -- [pg >= 14]
