-- source: pg_extension, pg_available_extensions (postgresql.org/docs/current/view-pg-available-extensions.html)
-- scope: database
-- cadence: hourly
-- rows: many, 100, those with an update first
-- needs: nothing
-- about: Extensions created in this database, those first that have an update waiting, then by name.
--
-- | `extname`, `schemaname`, `owner` | which it is, where its objects are, and who may update it |
-- | `extversion` | the version that was created, or last updated to: an upgrade of the server does not change it |
-- | `default_version` | what CREATE EXTENSION would take now; `null` where its files are gone |
-- | `update_available` | `default_version` is newer, number by number: `ALTER EXTENSION … UPDATE` would bring it |
-- | `is_available` | whether its files are there |
--
-- Versions are words. They are compared by the numbers in them; pg_extension_update_paths() would know better, and takes
-- seconds for an extension of a hundred versions.
SELECT e.extname,
       n.nspname AS schemaname,
       pg_get_userbyid(e.extowner) AS owner,
       e.extversion,
       a.default_version,
       coalesce(a.default_version <> e.extversion
                AND string_to_array(trim(regexp_replace(a.default_version, '[^0-9]+', ' ', 'g')), ' ')::numeric[]
                    >= string_to_array(trim(regexp_replace(e.extversion, '[^0-9]+', ' ', 'g')), ' ')::numeric[], false)
       AS update_available,
       a.name IS NOT NULL AS is_available
  FROM pg_extension e
  JOIN pg_namespace n ON n.oid = e.extnamespace
  LEFT JOIN pg_available_extensions() a ON a.name = e.extname
 ORDER BY update_available DESC, e.extname
 LIMIT 100
