-- source: pg_subscription, pg_subscription_rel, pg_stat_subscription_stats
-- scope: database
-- role: primary
-- rows: one
-- needs: nothing
-- counters: apply_error_count, sync_error_count
--
-- | `count`, `enabled_count` | subscriptions of this database, and those that are to run |
-- | `table_count`, `not_ready_count` | their tables, and those that are not copied yet |
-- | `apply_error_count`, `sync_error_count` | 15+: sums |
SELECT count(*) AS count,
       count(*) FILTER (WHERE subenabled) AS enabled_count,
       (SELECT count(*) FROM pg_subscription_rel) AS table_count,
       (SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r') AS not_ready_count,
       coalesce(sum(e.apply_error_count), 0)::bigint AS apply_error_count,                -- [pg >= 15]
       coalesce(sum(e.sync_error_count), 0)::bigint AS sync_error_count                   -- [pg >= 15]
-- [pg < 15]       NULL::bigint AS apply_error_count,
-- [pg < 15]       NULL::bigint AS sync_error_count
  FROM pg_subscription s
  LEFT JOIN pg_stat_subscription_stats e ON e.subid = s.oid                               -- [pg >= 15]
 WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
