-- source: pg_stat_progress_vacuum, …_analyze, …_create_index, …_cluster, …_basebackup, …_copy
-- scope: server
-- rows: one
-- needs: nothing
--
-- | `count`, `vacuum_count`, `create_index_count`, `cluster_count`, `analyze_count` (13+), `basebackup_count` (13+), `copy_count` (14+) | commands that run, in all and of each kind |
WITH running AS MATERIALIZED (
    SELECT (SELECT count(*) FROM pg_stat_get_progress_info('VACUUM')) AS vacuum_count,
           (SELECT count(*) FROM pg_stat_get_progress_info('CREATE INDEX')) AS create_index_count,
           (SELECT count(*) FROM pg_stat_get_progress_info('CLUSTER')) AS cluster_count,
           (SELECT count(*) FROM pg_stat_get_progress_info('ANALYZE')) AS analyze_count,                     -- [pg >= 13]
           (SELECT count(*) FROM pg_stat_get_progress_info('BASEBACKUP')) AS basebackup_count,               -- [pg >= 13]
           (SELECT count(*) FROM pg_stat_get_progress_info('COPY')) AS copy_count                            -- [pg >= 14]
-- [pg < 14]           NULL::bigint AS copy_count
-- [pg < 13]           , NULL::bigint AS analyze_count, NULL::bigint AS basebackup_count
)
SELECT vacuum_count + create_index_count + cluster_count
       + coalesce(analyze_count, 0) + coalesce(basebackup_count, 0) + coalesce(copy_count, 0) AS count,
       vacuum_count,
       create_index_count,
       cluster_count,
       analyze_count,
       basebackup_count,
       copy_count
  FROM running
