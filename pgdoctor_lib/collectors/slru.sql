-- source: pg_stat_slru (postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-SLRU-VIEW)
-- scope: server
-- when: pg >= 13
-- cadence: minutes
-- rows: many, every one by name: there are eight
-- needs: nothing
-- counters: blks_zeroed, blks_hit, blks_read, blks_written, blks_exists, flushes, truncates
-- about: The small caches for the state of transactions, subtransactions, multixacts and the like (pg_stat_slru, 13+). `rows`: all of them, by name.
--
-- | `name` | which; the name that it has from 17 on (`transaction`, not `Xact`) |
-- | `blks_hit`, `blks_read`, `blks_written` | blocks found in the cache, read from files, written to them |
-- | `blks_zeroed`, `blks_exists` | blocks made anew, and looked for |
-- | `flushes`, `truncates` | how often all of it was flushed, and its old files removed |
-- | `buffers_bytes` | its size: a setting of its own (17+), `transaction_buffers` and so on |
-- | `stats_reset` | since when this one is counted |
SELECT name,                                                                              -- [pg >= 17]
-- [pg < 17] SELECT CASE name WHEN 'CommitTs' THEN 'commit_timestamp' WHEN 'MultiXactMember' THEN 'multixact_member'
-- [pg < 17]                  WHEN 'MultiXactOffset' THEN 'multixact_offset' WHEN 'Notify' THEN 'notify'
-- [pg < 17]                  WHEN 'Serial' THEN 'serializable' WHEN 'Subtrans' THEN 'subtransaction'
-- [pg < 17]                  WHEN 'Xact' THEN 'transaction' ELSE name END AS name,
       blks_hit,
       blks_read,
       blks_written,
       blks_zeroed,
       blks_exists,
       flushes,
       truncates,
       pg_size_bytes(current_setting(name || '_buffers', true)) AS buffers_bytes,         -- [pg >= 17]
-- [pg < 17]       NULL::bigint AS buffers_bytes,
       stats_reset
  FROM pg_stat_slru
 ORDER BY 1
 LIMIT 50
