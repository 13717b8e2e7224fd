-- source: pg_publication
-- scope: database
-- cadence: minutes
-- rows: one
-- needs: nothing
--
-- | `count`, `all_tables_count` | publications, and those of all tables |
SELECT count(*) AS count,
       count(*) FILTER (WHERE puballtables) AS all_tables_count
  FROM pg_publication
