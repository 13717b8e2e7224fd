-- source: pg_subscription, pg_stat_subscription, pg_stat_subscription_stats (postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-SUBSCRIPTION)
-- scope: database
-- role: primary
-- rows: many, 100: first those that are enabled and do not run, then by errors
-- needs: nothing
-- counters: apply_error_count, sync_error_count, confl_insert_exists, confl_update_origin_differs, confl_update_exists, confl_update_missing, confl_delete_origin_differs, confl_delete_missing, confl_multiple_unique_conflicts
-- about: This database's subscriptions to others' publications, and how they go (pg_subscription, pg_stat_subscription, pg_stat_subscription_stats). `rows`: 100, first those that are enabled and do not run, then by errors.
--
-- | `subid`, `subname`, `owner` | the subscription |
-- | `subenabled`, `subdisableonerr` (15+) | whether it is to run, and whether an error disables it |
-- | `subslotname`, `subpublications` | the slot on the publisher, and the publications |
-- | `pid` | the process that applies; `null`: it does not run at this moment. One that fails is started again every few seconds |
-- | `sync_worker_count`, `parallel_worker_count` (16+) | processes that copy tables, and that help to apply |
-- | `received_lsn`, `latest_end_lsn` | the publisher's WAL as received, and as last reported back |
-- | `last_msg_send_time`, `last_msg_receipt_time`, `last_msg_lag_s`, `last_msg_age_s` | the last message: sent by the publisher's clock, received by this one's, what lies between, and how long ago it came |
-- | `latest_end_time`, `latest_end_age_s` | when it was last reported back |
-- | `apply_error_count`, `sync_error_count` | 15+: errors while applying, and while copying a table |
-- | `confl_insert_exists`, `confl_update_origin_differs`, `confl_update_exists`, `confl_update_missing`, `confl_delete_origin_differs`, `confl_delete_missing`, `confl_multiple_unique_conflicts` | 18+: rows that were not as the publisher's, by what happened |
-- | `stats_reset` | 15+: since when errors are counted |
-- | `table_count`, `tables_by_state` | its tables, and how many are in each state: `i` not begun, `d` being copied, `f` copied (14+), `s` caught up, `r` ready |
-- | `not_ready_count`, `not_ready` | those that are not `r`; of the first ten, `schemaname`, `relname` and `srsubstate` |
--
-- Before 14 nobody but a superuser may read pg_subscription.oid: it is the one that pg_stat_subscription has of this
-- name, and if several databases have the name, the one that pg_subscription_rel knows here.
WITH subscription AS MATERIALIZED (
    SELECT s.oid AS subid,                                                                -- [pg >= 14]
           s.subdisableonerr,                                                             -- [pg >= 15]
-- [pg < 14]    SELECT (SELECT coalesce(CASE WHEN min(k.subid::bigint) = max(k.subid::bigint) THEN min(k.subid::bigint) END,
-- [pg < 14]                            min(k.subid::bigint) FILTER (WHERE k.subid IN (SELECT srsubid FROM pg_subscription_rel)))
-- [pg < 14]              FROM pg_stat_subscription k
-- [pg < 14]             WHERE k.subname = s.subname)::oid AS subid,
-- [pg < 15]           NULL::boolean AS subdisableonerr,
           s.subname, s.subowner, s.subenabled, s.subslotname, s.subpublications
      FROM pg_subscription s
     WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
), worker AS MATERIALIZED (
    SELECT w.*,
           relid IS NULL
           AND leader_pid IS NULL                                                         -- [pg >= 16]
               AS applies,
           leader_pid IS NOT NULL AS helps                                                -- [pg >= 16]
-- [pg < 16]           NULL::boolean AS helps
      FROM pg_stat_subscription w
     WHERE pid IS NOT NULL
), state AS MATERIALIZED (
    SELECT srsubid, srsubstate, count(*) AS count FROM pg_subscription_rel GROUP BY srsubid, srsubstate
)
SELECT s.subid::bigint,
       s.subname,
       pg_get_userbyid(s.subowner) AS owner,
       s.subenabled,
       s.subdisableonerr,
       s.subslotname,
       s.subpublications,
       w.pid,
       (SELECT count(*) FROM worker WHERE worker.subid = s.subid AND relid IS NOT NULL) AS sync_worker_count,
       (SELECT count(*) FROM worker WHERE worker.subid = s.subid AND helps) AS parallel_worker_count,  -- [pg >= 16]
-- [pg < 16]       NULL::bigint AS parallel_worker_count,
       w.received_lsn::text,
       w.latest_end_lsn::text,
       w.last_msg_send_time,
       w.last_msg_receipt_time,
       round(extract(epoch FROM w.last_msg_receipt_time - w.last_msg_send_time)::numeric, 3) AS last_msg_lag_s,
       round(extract(epoch FROM clock_timestamp() - w.last_msg_receipt_time)::numeric, 3) AS last_msg_age_s,
       w.latest_end_time,
       round(extract(epoch FROM clock_timestamp() - w.latest_end_time)::numeric, 3) AS latest_end_age_s,
       e.apply_error_count,                                                               -- [pg >= 15]
       e.sync_error_count,                                                                -- [pg >= 15]
-- [pg < 15]       NULL::bigint AS apply_error_count,
-- [pg < 15]       NULL::bigint AS sync_error_count,
       e.confl_insert_exists,                                                             -- [pg >= 18]
       e.confl_update_origin_differs,                                                     -- [pg >= 18]
       e.confl_update_exists,                                                             -- [pg >= 18]
       e.confl_update_missing,                                                            -- [pg >= 18]
       e.confl_delete_origin_differs,                                                     -- [pg >= 18]
       e.confl_delete_missing,                                                            -- [pg >= 18]
       e.confl_multiple_unique_conflicts,                                                 -- [pg >= 18]
-- [pg < 18]       NULL::bigint AS confl_insert_exists,
-- [pg < 18]       NULL::bigint AS confl_update_origin_differs,
-- [pg < 18]       NULL::bigint AS confl_update_exists,
-- [pg < 18]       NULL::bigint AS confl_update_missing,
-- [pg < 18]       NULL::bigint AS confl_delete_origin_differs,
-- [pg < 18]       NULL::bigint AS confl_delete_missing,
-- [pg < 18]       NULL::bigint AS confl_multiple_unique_conflicts,
       e.stats_reset,                                                                     -- [pg >= 15]
-- [pg < 15]       NULL::timestamptz AS stats_reset,
       coalesce(t.tables, 0) AS table_count,
       t.tables_by_state,
       coalesce(t.not_ready, 0) AS not_ready_count,
       CASE WHEN t.not_ready > 0 THEN (
            SELECT json_agg(x) FROM (
                   SELECT nspname AS schemaname, relname, srsubstate
                     FROM pg_subscription_rel
                     JOIN pg_class c ON c.oid = srrelid
                     JOIN pg_namespace n ON n.oid = relnamespace
                    WHERE srsubid = s.subid AND srsubstate <> 'r'
                    ORDER BY nspname, relname
                    LIMIT 10) x)
       END AS not_ready
  FROM subscription s
  LEFT JOIN worker w ON w.subid = s.subid AND w.applies
  LEFT JOIN pg_stat_subscription_stats e ON e.subid = s.subid                             -- [pg >= 15]
  LEFT JOIN (SELECT srsubid,
                    sum(count)::bigint AS tables,
                    coalesce(sum(count) FILTER (WHERE srsubstate <> 'r'), 0)::bigint AS not_ready,
                    json_object_agg(srsubstate, count ORDER BY srsubstate) AS tables_by_state
               FROM state
              GROUP BY srsubid) t ON t.srsubid = s.subid
 ORDER BY (s.subenabled AND w.pid IS NULL) DESC,
       e.apply_error_count + e.sync_error_count DESC,                                     -- [pg >= 15]
       s.subname
 LIMIT 100
