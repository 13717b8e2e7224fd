-- source: pg_stat_statements
-- scope: database
-- rows: one
-- needs: pg_stat_statements
-- variables: pgss_schema, dbid
--
-- hidden: statements of other roles, which a role without pg_monitor may not read. recording: whether any are added.
SELECT count(*) AS count,
       count(*) FILTER (WHERE queryid IS NULL) AS hidden,
       coalesce(current_setting('compute_query_id', true), 'auto') <> 'off'
         AND coalesce(current_setting('pg_stat_statements.track', true), 'top') <> 'none' AS recording
  FROM :"pgss_schema".pg_stat_statements(false)
 WHERE dbid = CASE WHEN :'dbid'::oid <> 0 THEN :'dbid'::oid
                   ELSE (SELECT oid FROM pg_database WHERE datname = current_database()) END
