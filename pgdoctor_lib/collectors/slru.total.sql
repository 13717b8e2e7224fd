-- source: pg_stat_slru
-- scope: server
-- when: pg >= 13
-- cadence: minutes
-- rows: one
-- needs: nothing
-- counters: blks_hit, blks_read, blks_written
--
-- | `count` | how many there are |
-- | `blks_hit`, `blks_read`, `blks_written` | sums |
-- | `stats_reset` | when one of them was last reset |
SELECT count(*) AS count,
       sum(blks_hit)::bigint AS blks_hit,
       sum(blks_read)::bigint AS blks_read,
       sum(blks_written)::bigint AS blks_written,
       max(stats_reset) AS stats_reset
  FROM pg_stat_slru
