-- source: pg_stat_bgwriter (postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-BGWRITER-VIEW)
-- scope: server
-- rows: one
-- needs: nothing
-- counters: buffers_clean, maxwritten_clean, buffers_backend, buffers_backend_fsync, buffers_alloc
-- about: The background writer, which writes blocks of shared buffers before a session has to, and its settings. One row.
--
-- | `buffers_clean`, `block_size_bytes` | blocks that it wrote, and the size of a block |
-- | `maxwritten_clean` | how often it stopped a round because it had written `bgwriter_lru_maxpages` blocks |
-- | `buffers_backend`, `buffers_backend_fsync` | blocks that sessions wrote themselves, and how often one had to flush a file itself; `null` from 17 on: see `io` |
-- | `buffers_alloc` | blocks that were given a place in shared buffers |
-- | `stats_reset` | since when these are counted |
-- | `shared_buffers_bytes`, `bgwriter_delay_ms`, `bgwriter_lru_maxpages`, `bgwriter_lru_multiplier`, `bgwriter_flush_after_bytes` | settings; `bgwriter_lru_maxpages` 0 means that it writes nothing |
SELECT buffers_clean,
       maxwritten_clean,
-- [pg < 17]       buffers_backend,
-- [pg < 17]       buffers_backend_fsync,
       NULL::bigint AS buffers_backend,                                                   -- [pg >= 17]
       NULL::bigint AS buffers_backend_fsync,                                             -- [pg >= 17]
       buffers_alloc,
       current_setting('block_size')::int AS block_size_bytes,
       stats_reset,
       pg_size_bytes(current_setting('shared_buffers')) AS shared_buffers_bytes,
       (extract(epoch FROM current_setting('bgwriter_delay')::interval) * 1000)::int AS bgwriter_delay_ms,
       current_setting('bgwriter_lru_maxpages')::int AS bgwriter_lru_maxpages,
       current_setting('bgwriter_lru_multiplier')::float8 AS bgwriter_lru_multiplier,
       pg_size_bytes(current_setting('bgwriter_flush_after')) AS bgwriter_flush_after_bytes
  FROM pg_stat_bgwriter
