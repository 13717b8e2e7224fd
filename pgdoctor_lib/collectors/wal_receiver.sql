-- source: pg_stat_wal_receiver, pg_last_wal_replay_lsn() and its like (postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-WAL-RECEIVER-VIEW)
-- scope: server
-- role: standby
-- rows: one
-- needs: pg_monitor, else of the receiver only pid is seen
-- about: On a standby: what it receives from whom, and what it has replayed (pg_stat_wal_receiver). One row, also while nothing streams: the receiver's fields are `null` then.
--
-- | `pid`, `status` | the receiver's process, and `streaming`, `waiting`, …; `null`: nothing streams |
-- | `sender_host`, `sender_port`, `slot_name` | from whom, and through which slot |
-- | `receive_start_lsn`, `receive_start_tli`, `received_tli` | where it began to stream, on which timeline, and the one it streams now |
-- | `written_lsn` (13+), `flushed_lsn` | what it wrote, and what is on disk |
-- | `latest_end_lsn`, `latest_end_time` | how far its sender was at the last message, and when |
-- | `last_msg_send_time`, `last_msg_receipt_time`, `last_msg_age_s` | its last message: sent by the sender's clock, received by this one's, and how long ago |
-- | `receive_lag_bytes` | what its sender had, by the last message, and is not on disk here |
-- | `receive_lsn`, `replay_lsn`, `replay_lag_bytes` | received by streaming, replayed, and what is received and not replayed |
-- | `last_xact_replay_timestamp`, `replay_lag_s` | when the last replayed transaction was committed on the primary, and how long ago; the age is `null` where there is nothing to replay, so that an idle primary is no lag. A first transaction after a long rest shows that rest until it is replayed |
-- | `is_wal_replay_paused`, `replay_pause_state` (14+) | whether replay is held; `not paused`, `pause requested` or `paused` |
-- | `recovery_min_apply_delay_s` | a delay that is wanted |
-- | `max_standby_streaming_delay_s`, `max_standby_archive_delay_s` | how long replay waits for queries before it cancels them; −1: for ever |
-- | `hot_standby_feedback` | whether the primary keeps rows that queries here may see |
-- | `has_primary_conninfo`, `has_restore_command` | whether it is set to stream, and to fetch WAL from an archive; `null` where the role may not see it |
--
-- conninfo is left out: it may hold a password. pg_is_wal_replay_paused() and its like fail on a primary.
WITH here AS MATERIALIZED (
    SELECT pg_is_in_recovery() AS in_recovery,
           pg_last_wal_receive_lsn() AS receive_lsn,
           pg_last_wal_replay_lsn() AS replay_lsn,
           pg_last_xact_replay_timestamp() AS replayed_at,
           pg_has_role('pg_read_all_settings', 'USAGE') AS may_see
)
SELECT r.pid,
       r.status,
       r.sender_host,
       r.sender_port,
       r.slot_name,
       r.receive_start_lsn::text,
       r.receive_start_tli,
       r.received_tli,
       r.written_lsn::text,                                                               -- [pg >= 13]
-- [pg < 13]       NULL AS written_lsn,
       r.flushed_lsn::text,                                                               -- [pg >= 13]
-- [pg < 13]       r.received_lsn::text AS flushed_lsn,
       r.latest_end_lsn::text,
       r.latest_end_time,
       r.last_msg_send_time,
       r.last_msg_receipt_time,
       round(extract(epoch FROM clock_timestamp() - r.last_msg_receipt_time)::numeric, 3) AS last_msg_age_s,
       greatest(0, pg_wal_lsn_diff(r.latest_end_lsn, r.flushed_lsn)) AS receive_lag_bytes,  -- [pg >= 13]
-- [pg < 13]       greatest(0, pg_wal_lsn_diff(r.latest_end_lsn, r.received_lsn)) AS receive_lag_bytes,
       receive_lsn::text,
       replay_lsn::text,
       greatest(0, pg_wal_lsn_diff(receive_lsn, replay_lsn)) AS replay_lag_bytes,
       replayed_at AS last_xact_replay_timestamp,
       CASE WHEN receive_lsn > replay_lsn
            THEN round(extract(epoch FROM clock_timestamp() - replayed_at)::numeric, 3) END AS replay_lag_s,
       CASE WHEN in_recovery THEN pg_is_wal_replay_paused() END AS is_wal_replay_paused,
       CASE WHEN in_recovery THEN pg_get_wal_replay_pause_state() END AS replay_pause_state,  -- [pg >= 14]
-- [pg < 14]       NULL AS replay_pause_state,
       round(extract(epoch FROM current_setting('recovery_min_apply_delay')::interval)::numeric, 3) AS recovery_min_apply_delay_s,
       round(extract(epoch FROM current_setting('max_standby_streaming_delay')::interval)::numeric, 3) AS max_standby_streaming_delay_s,
       round(extract(epoch FROM current_setting('max_standby_archive_delay')::interval)::numeric, 3) AS max_standby_archive_delay_s,
       current_setting('hot_standby_feedback')::boolean AS hot_standby_feedback,
       CASE WHEN may_see THEN current_setting('primary_conninfo') <> '' END AS has_primary_conninfo,
       CASE WHEN may_see THEN current_setting('restore_command') <> '' END AS has_restore_command
  FROM here
  LEFT JOIN pg_stat_wal_receiver r ON true
