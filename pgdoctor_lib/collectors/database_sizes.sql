-- source: pg_database_size() (postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-DBSIZE)
-- scope: server
-- cadence: hourly
-- rows: many, 1000 by transactions
-- needs: CONNECT on a database, or pg_monitor; others are left out, and counted
-- about: What each database takes on disk, in all tablespaces, the largest first.
--
-- | `datid`, `datname` | which it is |
-- | `size_bytes` | pg_database_size(): all its files, those of its own catalogs among them |
--
-- Each file's size is asked of the file system, some 300 for an empty database: hence seldom, and no total of sizes here,
-- which would ask for them once more. No lock is taken.
WITH shown AS MATERIALIZED (
    SELECT oid, datname
      FROM pg_database
     WHERE CASE WHEN pg_has_role('pg_read_all_stats', 'USAGE') THEN true ELSE has_database_privilege(oid, 'CONNECT') END
     ORDER BY pg_stat_get_db_xact_commit(oid) DESC NULLS LAST, oid
     LIMIT 1000
)
SELECT oid::bigint AS datid,
       datname,
       pg_database_size(oid) AS size_bytes
  FROM shown
 ORDER BY size_bytes DESC NULLS LAST, oid
