-- source: pg_stat_database_conflicts (postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-DATABASE-CONFLICTS-VIEW)
-- scope: server
-- role: standby
-- rows: many, 50 by conflicts
-- needs: nothing
-- counters: conflicts, confl_tablespace, confl_lock, confl_snapshot, confl_bufferpin, confl_deadlock, confl_active_logicalslot
-- about: On a standby: queries that were cancelled since they stood in the way of replay, by database (pg_stat_database_conflicts). `rows`: the 50 databases with most.
--
-- | `datid`, `datname` | the database |
-- | `conflicts` | all that follow, added up |
-- | `confl_tablespace`, `confl_lock`, `confl_snapshot`, `confl_bufferpin`, `confl_deadlock` | cancelled for a dropped tablespace, for a lock that replay waited for, for rows that vacuum removed on the primary, for a pinned buffer, and for a deadlock |
-- | `confl_active_logicalslot` | 16+: uses of logical slots that were ended |
-- | `stats_reset` | since when they are counted |
WITH conflict AS MATERIALIZED (
    SELECT c.*,
           confl_tablespace + confl_lock + confl_snapshot + confl_bufferpin + confl_deadlock
           + confl_active_logicalslot                                                     -- [pg >= 16]
               AS conflicts
      FROM pg_stat_database_conflicts c
)
SELECT datid::bigint,
       datname,
       conflicts,
       confl_tablespace,
       confl_lock,
       confl_snapshot,
       confl_bufferpin,
       confl_deadlock,
       confl_active_logicalslot,                                                          -- [pg >= 16]
-- [pg < 16]       NULL::bigint AS confl_active_logicalslot,
       pg_stat_get_db_stat_reset_time(datid) AS stats_reset
  FROM conflict
 ORDER BY conflicts DESC, datname
 LIMIT 50
