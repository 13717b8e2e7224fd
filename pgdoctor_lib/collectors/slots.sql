-- source: pg_replication_slots, pg_stat_replication_slots (postgresql.org/docs/current/view-pg-replication-slots.html)
-- scope: server
-- rows: many, 50 each by retained_bytes and by age of xmin, and 50 lost ones
-- needs: nothing
-- counters: spill_txns, spill_count, spill_bytes, stream_txns, stream_count, stream_bytes, total_txns, total_bytes
-- about: Replication slots: what each keeps from being removed, and what was decoded through it (pg_replication_slots, pg_stat_replication_slots). `rows`: 50 each by retained WAL, by age of `xmin` and `catalog_xmin`, and of those whose WAL is gone.
--
-- | `slot_name`, `slot_type`, `plugin`, `database`, `temporary` | the slot; `physical` for a standby, `logical` with its output plugin and database |
-- | `active`, `active_pid` | whether somebody streams from it, and the process that sends: `pid` of a sender in `replication` |
-- | `restart_lsn`, `retained_bytes` | the oldest WAL that it needs, and how much has been written since; `null` for a slot that reserved none yet, or lost it |
-- | `confirmed_flush_lsn`, `confirmed_flush_lag_bytes` | of a logical slot: what its reader confirmed, and how much has been written since |
-- | `xmin_age`, `catalog_xmin_age` | transactions since the oldest whose rows, or catalog rows, vacuum must keep for it |
-- | `wal_status`, `safe_wal_size_bytes` | 13+: `reserved`, `extended`, `unreserved` or `lost`; what may still be written before it is lost, `null` without `max_slot_wal_keep_size` |
-- | `two_phase`, `two_phase_at` | whether prepared transactions are decoded (14+), and from where on (18+) |
-- | `conflicting` | 16+: a logical slot that was invalidated by what recovery replayed |
-- | `invalidation_reason` | 17+: why it is lost: `wal_removed`, `rows_removed`, `wal_level_insufficient` or `idle_timeout` |
-- | `inactive_since`, `inactive_s` | 17+: since when nobody has streamed from it; `null` while somebody does |
-- | `failover`, `synced` | 17+: kept on standbys too; on a standby, copied from its primary |
-- | `spill_txns`, `spill_count`, `spill_bytes` | 14+, logical: transactions written to disk while being decoded (over `logical_decoding_work_mem`), how often, and how much |
-- | `stream_txns`, `stream_count`, `stream_bytes` | 14+, logical: transactions sent while still in progress |
-- | `total_txns`, `total_bytes`, `stats_reset` | 14+, logical: all that was sent to the plugin; since when it is counted |
WITH here AS MATERIALIZED (
    SELECT CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                ELSE pg_current_wal_lsn() END AS lsn
), slot AS MATERIALIZED (
    SELECT s.*,
           pg_wal_lsn_diff(here.lsn, restart_lsn) AS retained_bytes,
           greatest(age(xmin), age(catalog_xmin)) AS oldest_xmin_age,
           wal_status = 'lost' AS is_lost,                                                -- [pg >= 13]
-- [pg < 13]           false AS is_lost,
           here.lsn
      FROM pg_replication_slots s, here
), shown AS MATERIALIZED (
    (SELECT slot_name FROM slot ORDER BY retained_bytes DESC NULLS LAST, slot_name LIMIT 50)
     UNION (SELECT slot_name FROM slot ORDER BY oldest_xmin_age DESC NULLS LAST, slot_name LIMIT 50)
     UNION (SELECT slot_name FROM slot WHERE is_lost ORDER BY slot_name LIMIT 50)
)
SELECT s.slot_name,
       s.slot_type,
       s.plugin,
       s.database,
       s.temporary,
       s.active,
       s.active_pid,
       s.restart_lsn::text,
       s.retained_bytes,
       s.confirmed_flush_lsn::text,
       pg_wal_lsn_diff(s.lsn, s.confirmed_flush_lsn) AS confirmed_flush_lag_bytes,
       age(s.xmin) AS xmin_age,
       age(s.catalog_xmin) AS catalog_xmin_age,
       s.wal_status,                                                                      -- [pg >= 13]
-- [pg < 13]       NULL AS wal_status,
       s.safe_wal_size AS safe_wal_size_bytes,                                            -- [pg >= 13]
-- [pg < 13]       NULL::bigint AS safe_wal_size_bytes,
       s.two_phase,                                                                       -- [pg >= 14]
-- [pg < 14]       NULL::boolean AS two_phase,
       s.two_phase_at::text,                                                              -- [pg >= 18]
-- [pg < 18]       NULL AS two_phase_at,
       s.conflicting,                                                                     -- [pg >= 16]
-- [pg < 16]       NULL::boolean AS conflicting,
       s.invalidation_reason,                                                             -- [pg >= 17]
-- [pg < 17]       NULL AS invalidation_reason,
       s.inactive_since,                                                                  -- [pg >= 17]
-- [pg < 17]       NULL::timestamptz AS inactive_since,
       round(extract(epoch FROM clock_timestamp() - s.inactive_since)::numeric, 3) AS inactive_s,  -- [pg >= 17]
-- [pg < 17]       NULL::numeric AS inactive_s,
       s.failover,                                                                        -- [pg >= 17]
-- [pg < 17]       NULL::boolean AS failover,
       s.synced,                                                                          -- [pg >= 17]
-- [pg < 17]       NULL::boolean AS synced,
       t.spill_txns,                                                                      -- [pg >= 14]
-- [pg < 14]       NULL::bigint AS spill_txns,
       t.spill_count,                                                                     -- [pg >= 14]
-- [pg < 14]       NULL::bigint AS spill_count,
       t.spill_bytes,                                                                     -- [pg >= 14]
-- [pg < 14]       NULL::bigint AS spill_bytes,
       t.stream_txns,                                                                     -- [pg >= 14]
-- [pg < 14]       NULL::bigint AS stream_txns,
       t.stream_count,                                                                    -- [pg >= 14]
-- [pg < 14]       NULL::bigint AS stream_count,
       t.stream_bytes,                                                                    -- [pg >= 14]
-- [pg < 14]       NULL::bigint AS stream_bytes,
       t.total_txns,                                                                      -- [pg >= 14]
-- [pg < 14]       NULL::bigint AS total_txns,
       t.total_bytes,                                                                     -- [pg >= 14]
-- [pg < 14]       NULL::bigint AS total_bytes,
       t.stats_reset                                                                      -- [pg >= 14]
-- [pg < 14]       NULL::timestamptz AS stats_reset
  FROM slot s
  JOIN shown USING (slot_name)
  LEFT JOIN pg_stat_replication_slots t ON t.slot_name = s.slot_name                      -- [pg >= 14]
 ORDER BY s.retained_bytes DESC NULLS LAST, s.slot_name
