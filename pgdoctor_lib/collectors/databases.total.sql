-- source: pg_stat_database, pg_database
-- scope: server
-- rows: one
-- needs: nothing
-- counters: xact_commit, xact_rollback, blks_read, blks_hit, tup_returned, tup_fetched, tup_inserted, tup_updated, tup_deleted, conflicts, temp_files, temp_bytes, deadlocks, checksum_failures
--
-- | `count`, `database_count` | rows that there are, that of shared objects among them; and databases |
-- | `datallowconn_count` | databases that take sessions |
-- | `datfrozenxid_age`, `datminmxid_age` | of the oldest |
-- | `xact_commit`, `xact_rollback`, `blks_read`, `blks_hit`, `tup_returned`, `tup_fetched`, `tup_inserted`, `tup_updated`, `tup_deleted`, `conflicts`, `temp_files`, `temp_bytes`, `deadlocks`, `checksum_failures` | sums over all |
SELECT count(*) AS count,
       count(d.oid) AS database_count,
       count(*) FILTER (WHERE d.datallowconn) AS datallowconn_count,
       max(age(d.datfrozenxid)) AS datfrozenxid_age,
       max(mxid_age(d.datminmxid)) AS datminmxid_age,
       sum(s.xact_commit)::bigint AS xact_commit,
       sum(s.xact_rollback)::bigint AS xact_rollback,
       sum(s.blks_read)::bigint AS blks_read,
       sum(s.blks_hit)::bigint AS blks_hit,
       sum(s.tup_returned)::bigint AS tup_returned,
       sum(s.tup_fetched)::bigint AS tup_fetched,
       sum(s.tup_inserted)::bigint AS tup_inserted,
       sum(s.tup_updated)::bigint AS tup_updated,
       sum(s.tup_deleted)::bigint AS tup_deleted,
       sum(s.conflicts)::bigint AS conflicts,
       sum(s.temp_files)::bigint AS temp_files,
       sum(s.temp_bytes)::bigint AS temp_bytes,
       sum(s.deadlocks)::bigint AS deadlocks,
       sum(s.checksum_failures)::bigint AS checksum_failures
  FROM pg_stat_database s
  LEFT JOIN pg_database d ON d.oid = s.datid
