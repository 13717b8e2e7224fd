-- source: pg_tablespace, pg_stat_activity (postgresql.org/docs/current/storage-file-layout.html)
-- scope: server
-- rows: one
-- needs: pg_monitor, else only the locations of tablespaces are there
-- about: Where the server has its files, and by which process it can be told that it runs on the agent's own machine. One row.
--
-- | `data_directory`, `wal_directory` | the data directory, and `pg_wal` in it, which may be a link to elsewhere; `null` for a role that is not in `pg_read_all_settings` |
-- | `tablespaces` | each tablespace's name and location, those in the data directory left out; `null` where there is none |
-- | `checkpointer_pid` | the checkpointer's process, as the server's machine or container numbers it |
SELECT d.data_directory,
       d.data_directory || '/pg_wal' AS wal_directory,
       (SELECT json_object_agg(spcname, location ORDER BY spcname)
          FROM (SELECT spcname, pg_tablespace_location(oid) AS location FROM pg_tablespace ORDER BY oid LIMIT 100) t
         WHERE location LIKE '/%') AS tablespaces,
       (SELECT min(pid) FROM pg_stat_get_activity(NULL) WHERE backend_type = 'checkpointer') AS checkpointer_pid
  FROM (SELECT CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('data_directory') END) d (data_directory)
