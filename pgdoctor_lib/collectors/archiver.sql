-- source: pg_stat_archiver, pg_ls_archive_statusdir() (postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ARCHIVER-VIEW)
-- scope: server
-- cadence: minutes
-- rows: one
-- needs: pg_monitor, else what waits to be archived is not counted
-- counters: archived_count, failed_count
-- about: Archiving of WAL files (pg_stat_archiver, pg_ls_archive_statusdir()). One row.
--
-- | `archive_mode` | `off`, `on`, or `always`: on a standby too |
-- | `has_archive_command`, `has_archive_library` (15+) | whether they are set; never their text. `null` where `archive_mode` is off |
-- | `archive_timeout_s` | a file is ended after this time, full or not; 0: never |
-- | `archived_count`, `last_archived_wal`, `last_archived_time`, `last_archived_age_s` | files archived, and the last of them |
-- | `failed_count`, `last_failed_wal`, `last_failed_time`, `last_failed_age_s` | attempts that failed, and the last of them: one that was archived later is no trouble |
-- | `ready_count`, `oldest_ready_age_s` | files that wait to be archived, and since when the first of them does; `null` where the role may not see it |
-- | `stats_reset` | since when it is counted |
--
-- The privilege to call a function is checked when a statement starts, whether or not it comes to the call: so those
-- that may be refused are called from a statement within. It costs some 5 µs a file: hence the cadence.
WITH waiting AS MATERIALIZED (
    SELECT CASE WHEN has_function_privilege('pg_ls_archive_statusdir()', 'EXECUTE')
                THEN query_to_xml(
                         'SELECT count(*) AS ready, round(extract(epoch FROM clock_timestamp() - min(modification))::numeric, 3) AS age'
                         ' FROM pg_ls_archive_statusdir() WHERE name LIKE ''%.ready''', false, true, '')::text
           END AS files
)
SELECT current_setting('archive_mode') AS archive_mode,
       CASE WHEN current_setting('archive_mode') <> 'off' THEN current_setting('archive_command') <> '' END AS has_archive_command,
       CASE WHEN current_setting('archive_mode') <> 'off' THEN current_setting('archive_library') <> '' END AS has_archive_library,  -- [pg >= 15]
-- [pg < 15]       NULL::boolean AS has_archive_library,
       extract(epoch FROM current_setting('archive_timeout')::interval)::bigint AS archive_timeout_s,
       archived_count,
       last_archived_wal,
       last_archived_time,
       round(extract(epoch FROM clock_timestamp() - last_archived_time)::numeric, 3) AS last_archived_age_s,
       failed_count,
       last_failed_wal,
       last_failed_time,
       round(extract(epoch FROM clock_timestamp() - last_failed_time)::numeric, 3) AS last_failed_age_s,
       substring(files FROM '<ready>([0-9]+)<')::bigint AS ready_count,
       substring(files FROM '<age>(-?[0-9.]+)<')::numeric AS oldest_ready_age_s,
       stats_reset
  FROM pg_stat_archiver, waiting
