-- source: pg_stat_io
-- scope: server
-- when: pg >= 16
-- rows: one
-- needs: nothing
-- counters: read_bytes, read_time_ms, write_bytes, write_time_ms, extend_bytes, extend_time_ms, hits, evictions, fsyncs, fsync_time_ms
--
-- | `count` | kinds of I/O that took place |
-- | `read_bytes`, `read_time_ms`, `write_bytes`, `write_time_ms`, `extend_bytes`, `extend_time_ms`, `hits`, `evictions`, `fsyncs`, `fsync_time_ms` | sums over all |
-- | `by_backend_type`, `by_object` | the same sums by kind of process, and by `relation`, `temp relation` and `wal`: an object each |
-- | `stats_reset` | since when these are counted |
-- | `track_io_timing`, `track_wal_io_timing` | whether times are measured (settings); the second is for `wal` (18+) |
WITH kind AS MATERIALIZED (
    SELECT backend_type, object, read_time, write_time, extend_time, hits, evictions, fsyncs, fsync_time, stats_reset,
           read_bytes, write_bytes, extend_bytes                                          -- [pg >= 18]
-- [pg < 18]           reads * op_bytes AS read_bytes, writes * op_bytes AS write_bytes, extends * op_bytes AS extend_bytes
      FROM pg_stat_io
     WHERE (reads > 0 OR writes > 0 OR extends > 0 OR hits > 0 OR writebacks > 0 OR evictions > 0 OR reuses > 0 OR fsyncs > 0)
), total AS MATERIALIZED (
    SELECT backend_type, object, count(*) AS count, max(stats_reset) AS stats_reset,
           json_build_object('read_bytes', sum(read_bytes), 'read_time_ms', round(sum(read_time)::numeric, 3),
                             'write_bytes', sum(write_bytes), 'write_time_ms', round(sum(write_time)::numeric, 3),
                             'extend_bytes', sum(extend_bytes), 'extend_time_ms', round(sum(extend_time)::numeric, 3),
                             'hits', sum(hits), 'evictions', sum(evictions),
                             'fsyncs', sum(fsyncs), 'fsync_time_ms', round(sum(fsync_time)::numeric, 3)) AS sums,
           sum(read_bytes) AS read_bytes, sum(read_time) AS read_time,
           sum(write_bytes) AS write_bytes, sum(write_time) AS write_time,
           sum(extend_bytes) AS extend_bytes, sum(extend_time) AS extend_time,
           sum(hits) AS hits, sum(evictions) AS evictions, sum(fsyncs) AS fsyncs, sum(fsync_time) AS fsync_time
      FROM kind
     GROUP BY GROUPING SETS ((backend_type), (object), ())
)
SELECT t.count,
       t.read_bytes::bigint,
       round(t.read_time::numeric, 3) AS read_time_ms,
       t.write_bytes::bigint,
       round(t.write_time::numeric, 3) AS write_time_ms,
       t.extend_bytes::bigint,
       round(t.extend_time::numeric, 3) AS extend_time_ms,
       t.hits::bigint,
       t.evictions::bigint,
       t.fsyncs::bigint,
       round(t.fsync_time::numeric, 3) AS fsync_time_ms,
       (SELECT json_object_agg(backend_type, sums ORDER BY backend_type) FROM total WHERE backend_type IS NOT NULL) AS by_backend_type,
       (SELECT json_object_agg(object, sums ORDER BY object) FROM total WHERE object IS NOT NULL) AS by_object,
       coalesce(t.stats_reset, (SELECT max(stats_reset) FROM pg_stat_io)) AS stats_reset,
       current_setting('track_io_timing')::boolean AS track_io_timing,
       current_setting('track_wal_io_timing')::boolean AS track_wal_io_timing
  FROM total t
 WHERE t.backend_type IS NULL
   AND t.object IS NULL
