-- source: pg_replication_slots
-- scope: server
-- rows: one
-- needs: nothing
--
-- | `count`, `active_count`, `inactive_count`, `logical_count`, `temporary_count` | slots, those in use, those that nobody streams from, and kinds |
-- | `lost_count` | 13+: those whose WAL is gone (`wal_status` is `lost`) |
-- | `retained_bytes`, `inactive_retained_bytes` | WAL that the slots hold back: what the furthest behind of all, and of the inactive ones, retains |
-- | `xmin_age`, `catalog_xmin_age` | the greatest of all |
-- | `max_replication_slots` | how many there may be |
-- | `max_slot_wal_keep_size_bytes` | 13+: what a slot may retain before it is lost; `null`: any amount |
-- | `idle_replication_slot_timeout_s` | 18+: when an inactive slot is invalidated; `null`: never |
WITH slot AS MATERIALIZED (
    SELECT s.*,
           pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                                ELSE pg_current_wal_lsn() END, restart_lsn) AS retained_bytes
      FROM pg_replication_slots s
)
SELECT count(*) AS count,
       count(*) FILTER (WHERE active) AS active_count,
       count(*) FILTER (WHERE NOT active) AS inactive_count,
       count(*) FILTER (WHERE slot_type = 'logical') AS logical_count,
       count(*) FILTER (WHERE temporary) AS temporary_count,
       count(*) FILTER (WHERE wal_status = 'lost') AS lost_count,                         -- [pg >= 13]
-- [pg < 13]       NULL::bigint AS lost_count,
       max(retained_bytes) AS retained_bytes,
       max(retained_bytes) FILTER (WHERE NOT active) AS inactive_retained_bytes,
       max(age(xmin)) AS xmin_age,
       max(age(catalog_xmin)) AS catalog_xmin_age,
       current_setting('max_replication_slots')::int AS max_replication_slots,
       nullif(pg_size_bytes(current_setting('max_slot_wal_keep_size')), -1) AS max_slot_wal_keep_size_bytes,  -- [pg >= 13]
-- [pg < 13]       NULL::bigint AS max_slot_wal_keep_size_bytes,
       nullif(extract(epoch FROM current_setting('idle_replication_slot_timeout')::interval)::bigint, 0) AS idle_replication_slot_timeout_s  -- [pg >= 18]
-- [pg < 18]       NULL::bigint AS idle_replication_slot_timeout_s
  FROM slot
