-- source: pg_database
-- scope: server
-- cadence: hourly
-- rows: one
-- needs: nothing
-- | `count`, `denied_count` | databases, and those that PGDoctor's role may not measure |
SELECT count(*) AS count,
       count(*) FILTER (WHERE NOT pg_has_role('pg_read_all_stats', 'USAGE')
                          AND NOT has_database_privilege(oid, 'CONNECT')) AS denied_count
  FROM pg_database
