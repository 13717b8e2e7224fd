-- source: pg_extension, pg_available_extensions
-- scope: database
-- cadence: hourly
-- rows: one
-- needs: nothing
-- | `count`, `available_count` | extensions created here, and all whose files the server has |
SELECT (SELECT count(*) FROM pg_extension) AS count,
       (SELECT count(*) FROM pg_available_extensions()) AS available_count
