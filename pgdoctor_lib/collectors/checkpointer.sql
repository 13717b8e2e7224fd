-- source: pg_stat_checkpointer, before 17 pg_stat_bgwriter; pg_control_checkpoint() (postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-CHECKPOINTER-VIEW)
-- scope: server
-- rows: one
-- needs: nothing
-- counters: num_timed, num_requested, num_done, restartpoints_timed, restartpoints_req, restartpoints_done, write_time_ms, sync_time_ms, buffers_written, slru_written
-- about: Checkpoints: how many there were and why, what they cost, when the last one was, and the settings that they are judged by. One row.
--
-- | `num_timed`, `num_requested` | checkpoints because `checkpoint_timeout` had passed, and because of anything else: `max_wal_size` reached, CHECKPOINT, a base backup, CREATE DATABASE. Skipped ones (nothing had happened) are among them; before 17 (`checkpoints_timed`, `checkpoints_req`) a standby's restartpoints are, too |
-- | `num_done` | those that were not skipped (18+) |
-- | `restartpoints_timed`, `restartpoints_req`, `restartpoints_done` | the same on a standby; done are those that were neither skipped nor without a new checkpoint to restart from (17+) |
-- | `write_time_ms`, `sync_time_ms` | time spent writing files, and having the operating system write them down (before 17 `checkpoint_write_time`, `checkpoint_sync_time`) |
-- | `buffers_written`, `slru_written`, `block_size_bytes` | blocks of shared buffers (before 17 `buffers_checkpoint`), and of the SLRUs (18+), written by them, and the size of a block |
-- | `stats_reset` | since when these are counted |
-- | `checkpoint_time`, `checkpoint_age_s` | when the last finished checkpoint began (pg_control_checkpoint()), and the seconds since then by the server's clock. On a standby: the primary's checkpoint that the last restartpoint made its own |
-- | `redo_lsn`, `redo_distance_bytes` | where recovery after a crash would begin, and the WAL written since then (on a standby: replayed), which it would have to read |
-- | `checkpoint_timeout_s`, `checkpoint_warning_s`, `checkpoint_completion_target`, `max_wal_size_bytes`, `min_wal_size_bytes` | settings |
-- | `in_recovery` | whether this is a standby |
SELECT s.num_timed,                                                                       -- [pg >= 17]
       s.num_requested,                                                                   -- [pg >= 17]
-- [pg < 17] SELECT s.checkpoints_timed AS num_timed,
-- [pg < 17]        s.checkpoints_req AS num_requested,
       s.num_done,                                                                        -- [pg >= 18]
-- [pg < 18]       NULL::bigint AS num_done,
       s.restartpoints_timed,                                                             -- [pg >= 17]
       s.restartpoints_req,                                                               -- [pg >= 17]
       s.restartpoints_done,                                                              -- [pg >= 17]
       s.write_time AS write_time_ms,                                                     -- [pg >= 17]
       s.sync_time AS sync_time_ms,                                                       -- [pg >= 17]
       s.buffers_written,                                                                 -- [pg >= 17]
-- [pg < 17]       NULL::bigint AS restartpoints_timed,
-- [pg < 17]       NULL::bigint AS restartpoints_req,
-- [pg < 17]       NULL::bigint AS restartpoints_done,
-- [pg < 17]       s.checkpoint_write_time AS write_time_ms,
-- [pg < 17]       s.checkpoint_sync_time AS sync_time_ms,
-- [pg < 17]       s.buffers_checkpoint AS buffers_written,
       s.slru_written,                                                                    -- [pg >= 18]
-- [pg < 18]       NULL::bigint AS slru_written,
       current_setting('block_size')::int AS block_size_bytes,
       s.stats_reset,
       c.checkpoint_time,
       round(extract(epoch FROM clock_timestamp() - c.checkpoint_time)::numeric, 3) AS checkpoint_age_s,
       c.redo_lsn::text,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END,
                       c.redo_lsn)::bigint AS redo_distance_bytes,
       extract(epoch FROM current_setting('checkpoint_timeout')::interval)::int AS checkpoint_timeout_s,
       extract(epoch FROM current_setting('checkpoint_warning')::interval)::int AS checkpoint_warning_s,
       current_setting('checkpoint_completion_target')::float8 AS checkpoint_completion_target,
       pg_size_bytes(current_setting('max_wal_size')) AS max_wal_size_bytes,
       pg_size_bytes(current_setting('min_wal_size')) AS min_wal_size_bytes,
       pg_is_in_recovery() AS in_recovery
  FROM pg_stat_checkpointer s                                                             -- [pg >= 17]
-- [pg < 17]  FROM pg_stat_bgwriter s
 CROSS JOIN pg_control_checkpoint() c
