-- source: pg_stat_progress_vacuum, …_analyze, …_create_index, …_cluster, …_basebackup, …_copy (postgresql.org/docs/current/progress-reporting.html)
-- scope: server
-- rows: many, the 50 oldest
-- needs: pg_monitor, else of other roles' commands only the process and its database are seen
-- about: Commands that tell how far they are, on the whole server, the oldest first: VACUUM, CREATE INDEX and REINDEX, CLUSTER and VACUUM FULL, from 13 on ANALYZE and base backups, from 14 on COPY.
--
-- | `command` | `VACUUM`, `ANALYZE`, `CREATE INDEX`, `CREATE INDEX CONCURRENTLY`, `REINDEX`, `REINDEX CONCURRENTLY`, `CLUSTER`, `VACUUM FULL`, `BASE BACKUP`, `COPY FROM`, `COPY TO` |
-- | `pid`, `datname`, `usename`, `application_name` | who and where |
-- | `is_autovacuum`, `is_wraparound` | whether an autovacuum worker runs it, and whether it does so to prevent wraparound, so that it gives way to nobody |
-- | `relid`, `schemaname`, `relname` | the table, its name only where it is in this database |
-- | `index_relid`, `indexrelname` | the index that is being built or used, likewise |
-- | `phase` | PostgreSQL's own words; of COPY (14+) the other end: `file`, `program`, `pipe`, `callback` |
-- | `done`, `of`, `unit`, `percent_done` | how far the phase is, in `blocks`, `tuples`, `bytes`, `indexes`, `lockers` (transactions that it waits for), `statistics`, `tables` or `partitions`; `null` where the phase does not tell, `of` alone where nobody knows how much it will be |
-- | `tuples_done` | rows handled: by CREATE INDEX in this phase, by CLUSTER and COPY in all |
-- | `partitions_done`, `partitions_total` | of CREATE INDEX on a partitioned table, and of ANALYZE (13+) |
-- | `current_locker_pid` | whom CREATE INDEX waits for |
-- | `heap_blks_total`, `heap_blks_scanned`, `heap_blks_vacuumed` | of VACUUM: its table's blocks, and those that it is through with in each of its two rounds |
-- | `index_vacuum_count` | how often it has been through the indexes: more than once means too little memory for the dead tuples |
-- | `max_dead_tuples`, `num_dead_tuples` | up to 16: dead tuples that it has room for, and that it has collected since it was last through the indexes |
-- | `max_dead_tuple_bytes`, `dead_tuple_bytes`, `num_dead_item_ids` | 17+: the same in bytes, and their number |
-- | `indexes_total`, `indexes_processed` | 17+: indexes to go through, and done |
-- | `delay_time_ms` | 18+: time that VACUUM or ANALYZE slept because of its cost limit, with track_cost_delay_timing |
-- | `query_start`, `query_age_s` | since when it runs |
-- | `state`, `wait_event_type`, `wait_event` | as in `activity` |
--
-- A phase that counts nothing of its own leaves the counters of the one before: each is read only in its own phase.
-- Few relations stand in one FROM: while nothing runs, planning is most of the cost.
WITH running AS MATERIALIZED (
    SELECT 'VACUUM' AS command, pid, relid, NULL::oid AS index_relid, phase,
           CASE phase WHEN 'scanning heap' THEN heap_blks_scanned WHEN 'vacuuming heap' THEN heap_blks_vacuumed
                      WHEN 'vacuuming indexes' THEN indexes_processed                     -- [pg >= 17]
                      WHEN 'cleaning up indexes' THEN indexes_processed                   -- [pg >= 17]
           END AS done,
           CASE phase WHEN 'scanning heap' THEN heap_blks_total WHEN 'vacuuming heap' THEN heap_blks_total
                      WHEN 'vacuuming indexes' THEN indexes_total                         -- [pg >= 17]
                      WHEN 'cleaning up indexes' THEN indexes_total                       -- [pg >= 17]
           END AS of,
           CASE phase WHEN 'scanning heap' THEN 'blocks' WHEN 'vacuuming heap' THEN 'blocks'
                      WHEN 'vacuuming indexes' THEN 'indexes'                             -- [pg >= 17]
                      WHEN 'cleaning up indexes' THEN 'indexes'                           -- [pg >= 17]
           END AS unit,
           NULL::bigint AS tuples_done,
           NULL::bigint AS partitions_done,
           NULL::bigint AS partitions_total,
           NULL::bigint AS current_locker_pid
      FROM pg_stat_progress_vacuum
     UNION ALL
    SELECT coalesce(command, 'CREATE INDEX'), pid, relid, nullif(index_relid, 0), phase,
           CASE unit WHEN 'lockers' THEN lockers_done WHEN 'tuples' THEN tuples_done ELSE blocks_done END,
           CASE unit WHEN 'lockers' THEN lockers_total WHEN 'tuples' THEN tuples_total ELSE blocks_total END,
           unit,
           CASE WHEN unit = 'tuples' THEN tuples_done END,
           CASE WHEN partitions_total > 0 THEN partitions_done END,
           nullif(partitions_total, 0),
           nullif(current_locker_pid, 0)
      FROM (SELECT *,
                   CASE WHEN phase LIKE 'waiting for%' THEN 'lockers'
                        WHEN phase LIKE '%loading tuples%' THEN 'tuples'
                        WHEN phase LIKE '%scanning%' OR phase = 'building index' THEN 'blocks' END AS unit
              FROM pg_stat_progress_create_index) i
     UNION ALL
    SELECT coalesce(command, 'CLUSTER'), pid, relid, nullif(cluster_index_relid, 0), phase,
           CASE phase WHEN 'seq scanning heap' THEN heap_blks_scanned
                      WHEN 'index scanning heap' THEN heap_tuples_scanned
                      WHEN 'writing new heap' THEN heap_tuples_written
                      WHEN 'rebuilding index' THEN index_rebuild_count END,
           CASE phase WHEN 'seq scanning heap' THEN heap_blks_total
                      WHEN 'writing new heap' THEN heap_tuples_scanned END,
           CASE phase WHEN 'seq scanning heap' THEN 'blocks'
                      WHEN 'index scanning heap' THEN 'tuples'
                      WHEN 'writing new heap' THEN 'tuples'
                      WHEN 'rebuilding index' THEN 'indexes' END,
           heap_tuples_scanned, NULL, NULL, NULL
      FROM pg_stat_progress_cluster
     UNION ALL                                                                            -- [pg >= 13]
    SELECT 'ANALYZE', pid, relid, NULL, phase,                                            -- [pg >= 13]
           CASE WHEN phase LIKE 'acquiring%' THEN sample_blks_scanned                     -- [pg >= 13]
                WHEN phase = 'computing extended statistics' THEN ext_stats_computed END, -- [pg >= 13]
           CASE WHEN phase LIKE 'acquiring%' THEN sample_blks_total                       -- [pg >= 13]
                WHEN phase = 'computing extended statistics' THEN ext_stats_total END,    -- [pg >= 13]
           CASE WHEN phase LIKE 'acquiring%' THEN 'blocks'                                -- [pg >= 13]
                WHEN phase = 'computing extended statistics' THEN 'statistics' END,       -- [pg >= 13]
           NULL, CASE WHEN child_tables_total > 0 THEN child_tables_done END,             -- [pg >= 13]
           nullif(child_tables_total, 0), NULL                                            -- [pg >= 13]
      FROM pg_stat_progress_analyze                                                       -- [pg >= 13]
     UNION ALL                                                                            -- [pg >= 13]
    SELECT 'BASE BACKUP', pid, NULL, NULL, phase,                                         -- [pg >= 13]
           CASE WHEN phase = 'streaming database files' THEN backup_streamed END,         -- [pg >= 13]
           CASE WHEN phase = 'streaming database files' THEN backup_total END,            -- [pg >= 13]
           CASE WHEN phase = 'streaming database files' THEN 'bytes' END,                 -- [pg >= 13]
           NULL, NULL, NULL, NULL                                                         -- [pg >= 13]
      FROM pg_stat_progress_basebackup                                                    -- [pg >= 13]
     UNION ALL                                                                            -- [pg >= 14]
    SELECT coalesce(command, 'COPY'), pid, nullif(relid, 0), NULL, lower(type),           -- [pg >= 14]
           bytes_processed, nullif(bytes_total, 0), 'bytes',                              -- [pg >= 14]
           tuples_processed, NULL, NULL, NULL                                             -- [pg >= 14]
      FROM pg_stat_progress_copy                                                          -- [pg >= 14]
), vacuuming AS MATERIALIZED (
    SELECT * FROM pg_stat_progress_vacuum
), analyzing AS MATERIALIZED (                                                            -- [pg >= 18]
    SELECT pid, delay_time FROM pg_stat_progress_analyze                                  -- [pg >= 18]
), this AS MATERIALIZED (
    SELECT oid FROM pg_database WHERE datname = current_database()
), relation AS MATERIALIZED (
    SELECT c.oid, n.nspname, c.relname
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = ANY (ARRAY(SELECT relid FROM running UNION SELECT index_relid FROM running))
)
SELECT r.command,
       r.pid,
       (SELECT d.datname FROM pg_database d WHERE d.oid = a.datid) AS datname,
       pg_get_userbyid(a.usesysid) AS usename,
       a.application_name,
       a.backend_type = 'autovacuum worker' AS is_autovacuum,
       a.backend_type = 'autovacuum worker' AND a.query LIKE '%(to prevent wraparound)' AS is_wraparound,
       r.relid::bigint AS relid,
       c.nspname AS schemaname,
       c.relname,
       r.index_relid::bigint AS index_relid,
       x.relname AS indexrelname,
       r.phase,
       r.done,
       r.of,
       r.unit,
       CASE WHEN r.of > 0 THEN least(100, round(100.0 * r.done / r.of, 1)) END AS percent_done,
       r.tuples_done,
       r.partitions_done,
       r.partitions_total,
       r.current_locker_pid,
       v.heap_blks_total,
       v.heap_blks_scanned,
       v.heap_blks_vacuumed,
       v.index_vacuum_count,
-- [pg < 17]       v.max_dead_tuples,
-- [pg < 17]       v.num_dead_tuples,
-- [pg < 17]       NULL::bigint AS max_dead_tuple_bytes,
-- [pg < 17]       NULL::bigint AS dead_tuple_bytes,
-- [pg < 17]       NULL::bigint AS num_dead_item_ids,
-- [pg < 17]       NULL::bigint AS indexes_total,
-- [pg < 17]       NULL::bigint AS indexes_processed,
       NULL::bigint AS max_dead_tuples,                                                   -- [pg >= 17]
       NULL::bigint AS num_dead_tuples,                                                   -- [pg >= 17]
       v.max_dead_tuple_bytes,                                                            -- [pg >= 17]
       v.dead_tuple_bytes,                                                                -- [pg >= 17]
       v.num_dead_item_ids,                                                               -- [pg >= 17]
       v.indexes_total,                                                                   -- [pg >= 17]
       v.indexes_processed,                                                               -- [pg >= 17]
       coalesce(v.delay_time, z.delay_time) AS delay_time_ms,                             -- [pg >= 18]
-- [pg < 18]       NULL::float8 AS delay_time_ms,
       a.query_start,
       round(extract(epoch FROM clock_timestamp() - a.query_start)::numeric, 3) AS query_age_s,
       a.state,
       a.wait_event_type,
       a.wait_event
  FROM running r
  LEFT JOIN pg_stat_get_activity(NULL) a ON a.pid = r.pid
  LEFT JOIN vacuuming v ON v.pid = r.pid
  LEFT JOIN analyzing z ON z.pid = r.pid                                                  -- [pg >= 18]
  LEFT JOIN relation c ON c.oid = r.relid AND a.datid = (SELECT oid FROM this)
  LEFT JOIN relation x ON x.oid = r.index_relid AND a.datid = (SELECT oid FROM this)
 ORDER BY a.query_start, r.pid
 LIMIT 50
