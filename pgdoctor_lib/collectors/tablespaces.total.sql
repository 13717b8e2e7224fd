-- source: pg_tablespace
-- scope: server
-- cadence: hourly
-- rows: one
-- needs: nothing
--
-- | `count` | tablespaces |
SELECT count(*) AS count
  FROM pg_tablespace
