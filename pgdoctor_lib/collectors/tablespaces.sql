-- source: pg_tablespace, pg_tablespace_size(), pg_ls_tmpdir() (postgresql.org/docs/current/catalog-pg-tablespace.html)
-- scope: server
-- cadence: hourly
-- rows: many, the oldest 100, by size_bytes
-- needs: pg_monitor, else sizes (but of this database's own one) and temporary files are missing
-- about: Where the server keeps its files, and how much is there. `rows`: the oldest 100 tablespaces, the largest first.
--
-- | `oid`, `spcname`, `owner` | the tablespace, and the role that it belongs to |
-- | `location` | its folder on the server; `null` for `pg_default` and `pg_global`, which lie in the data directory |
-- | `spcoptions` | `random_page_cost` and the like, where they are set for it |
-- | `size_bytes` | its files, temporary ones too (pg_tablespace_size()); `null` for a role that is neither in `pg_read_all_stats` nor has CREATE on it, and for `pg_default`: that is what the databases take (`database_sizes`) less what the other tablespaces hold |
-- | `temp_files`, `temp_bytes`, `temp_oldest_age_s` | temporary files that are in it now, and seconds since the oldest of them was last written (pg_ls_tmpdir(); those that the processes of one parallel query share are not counted); `null` for a role that may not call it, and for `pg_global`, which has none |
--
-- pg_tablespace_size() asks for the size of each file, and waits for no lock; for pg_default that would be nearly every
-- file of the server, which database_sizes.sql asks for already. EXECUTE on pg_ls_tmpdir() is asked for when a plan is
-- started, even for a branch that is never taken: so the call is hidden in a text, which is looked at only where the
-- role may.
WITH tablespace AS MATERIALIZED (
    SELECT oid, spcname, spcowner, spcoptions, pg_tablespace_location(oid) AS location
      FROM pg_tablespace
     ORDER BY oid
     LIMIT 100
), sized AS MATERIALIZED (
    SELECT t.*,
           CASE WHEN spcname <> 'pg_default'
                 AND (pg_has_role('pg_read_all_stats', 'USAGE') OR has_tablespace_privilege(oid, 'CREATE'))
                THEN pg_tablespace_size(oid) END AS size_bytes,
           CASE WHEN spcname <> 'pg_global' AND has_function_privilege('pg_catalog.pg_ls_tmpdir(oid)', 'EXECUTE')
                THEN regexp_match(query_to_xml(format(
                         'SELECT /* pgdoctor:tablespaces */ concat_ws(%L, count(*), coalesce(sum(size), 0),'
                         ' extract(epoch FROM clock_timestamp() - min(modification))) AS n'
                         ' FROM pg_catalog.pg_ls_tmpdir(%s)', ',', oid), false, true, '')::text,
                     '>(\d+),(\d+)(?:,([\d.-]+))?<') END AS temp
      FROM tablespace t
)
SELECT oid::bigint,
       spcname,
       pg_get_userbyid(spcowner) AS owner,
       nullif(location, '') AS location,
       spcoptions,
       size_bytes,
       temp[1]::bigint AS temp_files,
       temp[2]::bigint AS temp_bytes,
       round(temp[3]::numeric, 3) AS temp_oldest_age_s
  FROM sized
 ORDER BY size_bytes DESC NULLS LAST, oid
