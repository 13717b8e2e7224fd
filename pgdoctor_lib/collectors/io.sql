-- source: pg_stat_io (postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-IO-VIEW)
-- scope: server
-- when: pg >= 16
-- rows: many, 100 by bytes read, written and extended, without those that are all zero
-- needs: nothing
-- counters: reads, read_bytes, read_time_ms, writes, write_bytes, write_time_ms, writebacks, writeback_time_ms, extends, extend_bytes, extend_time_ms, hits, evictions, reuses, fsyncs, fsync_time_ms
-- about: Who reads and writes what, and how (pg_stat_io, 16+). `rows`: 100 kinds of I/O by bytes, without those that never took place. What is not possible for a kind is `null`.
--
-- | `backend_type`, `object`, `context` | kind of process; `relation`, `temp relation` or `wal` (18+); `normal`, or through the small ring that `bulkread`, `bulkwrite` and `vacuum` have, or `init` (18+) |
-- | `reads`, `writes`, `extends` | how often it read, wrote, made a file longer: operations from 18 on, of several blocks maybe, and blocks before |
-- | `read_bytes`, `write_bytes`, `extend_bytes` | the same as bytes; before 18 counted from blocks (`op_bytes`) |
-- | `read_time_ms`, `write_time_ms`, `extend_time_ms`, `writeback_time_ms`, `fsync_time_ms` | time that took; 0 while the setting in `total` is off |
-- | `writebacks` | blocks that the operating system was asked to write down |
-- | `fsyncs` | files flushed by fsync() |
-- | `hits` | blocks found in shared buffers |
-- | `evictions`, `reuses` | blocks of shared buffers put out to make room, and places of the ring used again |
SELECT backend_type,
       object,
       context,
       reads,
       read_bytes::bigint,                                                                -- [pg >= 18]
-- [pg < 18]       reads * op_bytes AS read_bytes,
       read_time AS read_time_ms,
       writes,
       write_bytes::bigint,                                                               -- [pg >= 18]
-- [pg < 18]       writes * op_bytes AS write_bytes,
       write_time AS write_time_ms,
       writebacks,
       writeback_time AS writeback_time_ms,
       extends,
       extend_bytes::bigint,                                                              -- [pg >= 18]
-- [pg < 18]       extends * op_bytes AS extend_bytes,
       extend_time AS extend_time_ms,
       hits,
       evictions,
       reuses,
       fsyncs,
       fsync_time AS fsync_time_ms
  FROM pg_stat_io
 WHERE (reads > 0 OR writes > 0 OR extends > 0 OR hits > 0 OR writebacks > 0 OR evictions > 0 OR reuses > 0 OR fsyncs > 0)
 ORDER BY coalesce(read_bytes, 0) + coalesce(write_bytes, 0) + coalesce(extend_bytes, 0) DESC,        -- [pg >= 18]
-- [pg < 18] ORDER BY coalesce(reads, 0) + coalesce(writes, 0) + coalesce(extends, 0) DESC,
          backend_type, object, context
 LIMIT 100
