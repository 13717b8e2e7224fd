-- source: pg_stat_replication, pg_stat_wal_receiver, pg_replication_slots (postgresql.org/docs/current/monitoring-stats.html)
-- scope: server
-- rows: one, with 100 senders by replay_lag_bytes and 100 slots by retained_bytes in it
-- needs: pg_monitor, else senders and receiver are seen without positions
-- about: The server's part in streaming replication (pg_stat_replication, pg_stat_wal_receiver, pg_replication_slots). One row.
--
-- | `in_recovery` | `true` on a standby |
-- | `lsn` | where the server is: what it has written, on a standby the later of received and replayed |
-- | `receive_lsn`, `replay_lsn`, `replay_lag_bytes`, `last_xact_replay_timestamp`, `is_wal_replay_paused` | on a standby; more of it in `wal_receiver` |
-- | `sender_count`, `slot_count` | how many there are of what follows |
-- | `senders` | 100 by lag, of a primary or of a standby that sends on: `pid`, `usename`, `application_name`, `client_addr`, `slot_name`, `backend_start`, `state`, `sync_state`, `sync_priority`, `backend_xmin_age`, `sent_lag_bytes`, `write_lag_bytes`, `flush_lag_bytes`, `replay_lag_bytes` (all behind `lsn`), `write_lag_s`, `flush_lag_s`, `replay_lag_s`, `reply_time`, `reply_age_s`; `null` where there are none |
-- | `receiver` | on a standby that streams: `pid`, `status`, `sender_host`, `sender_port`, `slot_name`, `received_tli`, `latest_end_lsn`, `latest_end_time`, `last_msg_receipt_time`, `last_msg_age_s` |
-- | `slots` | 100 by retained WAL: `slot_name`, `plugin`, `slot_type`, `database`, `temporary`, `active`, `active_pid`, `retained_bytes`, `confirmed_flush_lag_bytes`, `xmin_age`, `catalog_xmin_age`, `wal_status` and `safe_wal_size_bytes` (13+), `conflicting` (16+), `invalidation_reason` and `inactive_s` (17+); `null` where there are none. More of them in the section `slots` |
WITH here AS MATERIALIZED (
    SELECT CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                ELSE pg_current_wal_lsn() END AS lsn
)
SELECT pg_is_in_recovery() AS in_recovery,
       here.lsn::text AS lsn,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() END::text AS receive_lsn,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() END::text AS replay_lsn,
       CASE WHEN pg_is_in_recovery() THEN pg_wal_lsn_diff(here.lsn, pg_last_wal_replay_lsn()) END AS replay_lag_bytes,
       CASE WHEN pg_is_in_recovery() THEN pg_last_xact_replay_timestamp() END AS last_xact_replay_timestamp,
       CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END AS is_wal_replay_paused,
       (SELECT count(*) FROM pg_stat_replication) AS sender_count,
       (SELECT json_agg(t) FROM (
               SELECT pid, usename, application_name, host(client_addr) AS client_addr,
                      (SELECT min(slot_name) FROM pg_replication_slots WHERE active_pid = pid) AS slot_name,
                      backend_start, state, sync_state, sync_priority,
                      age(backend_xmin) AS backend_xmin_age,
                      pg_wal_lsn_diff(here.lsn, sent_lsn) AS sent_lag_bytes,
                      pg_wal_lsn_diff(here.lsn, write_lsn) AS write_lag_bytes,
                      pg_wal_lsn_diff(here.lsn, flush_lsn) AS flush_lag_bytes,
                      pg_wal_lsn_diff(here.lsn, replay_lsn) AS replay_lag_bytes,
                      extract(epoch FROM write_lag) AS write_lag_s,
                      extract(epoch FROM flush_lag) AS flush_lag_s,
                      extract(epoch FROM replay_lag) AS replay_lag_s,
                      reply_time,
                      round(extract(epoch FROM clock_timestamp() - reply_time)::numeric, 3) AS reply_age_s
                 FROM pg_stat_replication
                ORDER BY replay_lag_bytes DESC NULLS LAST, pid
                LIMIT 100) t) AS senders,
       (SELECT to_json(t) FROM (
               SELECT pid, status, sender_host, sender_port, slot_name,
                      received_tli,
                      latest_end_lsn::text,
                      latest_end_time,
                      last_msg_receipt_time,
                      round(extract(epoch FROM clock_timestamp() - last_msg_receipt_time)::numeric, 3) AS last_msg_age_s
                 FROM pg_stat_wal_receiver) t) AS receiver,
       (SELECT count(*) FROM pg_replication_slots) AS slot_count,
       (SELECT json_agg(t) FROM (
               SELECT slot_name, plugin, slot_type, database, temporary, active, active_pid,
                      pg_wal_lsn_diff(here.lsn, restart_lsn) AS retained_bytes,
                      pg_wal_lsn_diff(here.lsn, confirmed_flush_lsn) AS confirmed_flush_lag_bytes,
                      age(xmin) AS xmin_age,
                      age(catalog_xmin) AS catalog_xmin_age,
                      wal_status,                                                         -- [pg >= 13]
                      safe_wal_size AS safe_wal_size_bytes,                               -- [pg >= 13]
                      conflicting,                                                        -- [pg >= 16]
                      invalidation_reason,                                                -- [pg >= 17]
                      round(extract(epoch FROM clock_timestamp() - inactive_since)::numeric, 3) AS inactive_s  -- [pg >= 17]
-- [pg < 13]                      NULL AS wal_status,
-- [pg < 13]                      NULL::bigint AS safe_wal_size_bytes,
-- [pg < 16]                      NULL::boolean AS conflicting,
-- [pg < 17]                      NULL AS invalidation_reason,
-- [pg < 17]                      NULL::numeric AS inactive_s
                 FROM pg_replication_slots
                ORDER BY retained_bytes DESC NULLS LAST, slot_name
                LIMIT 100) t) AS slots
  FROM here
