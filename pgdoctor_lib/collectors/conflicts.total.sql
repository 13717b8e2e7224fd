-- source: pg_stat_database_conflicts
-- scope: server
-- role: standby
-- rows: one
-- needs: nothing
-- counters: conflicts, confl_tablespace, confl_lock, confl_snapshot, confl_bufferpin, confl_deadlock, confl_active_logicalslot
--
-- | `count` | databases |
-- | `conflicts`, `confl_tablespace`, `confl_lock`, `confl_snapshot`, `confl_bufferpin`, `confl_deadlock`, `confl_active_logicalslot` (16+) | sums |
SELECT count(*) AS count,
       sum(confl_tablespace + confl_lock + confl_snapshot + confl_bufferpin + confl_deadlock
           + confl_active_logicalslot                                                     -- [pg >= 16]
          )::bigint AS conflicts,
       sum(confl_tablespace)::bigint AS confl_tablespace,
       sum(confl_lock)::bigint AS confl_lock,
       sum(confl_snapshot)::bigint AS confl_snapshot,
       sum(confl_bufferpin)::bigint AS confl_bufferpin,
       sum(confl_deadlock)::bigint AS confl_deadlock,
       sum(confl_active_logicalslot)::bigint AS confl_active_logicalslot                  -- [pg >= 16]
-- [pg < 16]       NULL::bigint AS confl_active_logicalslot
  FROM pg_stat_database_conflicts
