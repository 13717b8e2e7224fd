-- source: pg_stat_user_functions, pg_proc (postgresql.org/docs/current/sql-createfunction.html#SQL-CREATEFUNCTION-SECURITY)
-- scope: database
-- cadence: minutes
-- rows: one
-- needs: nothing
-- counters: calls, self_time_ms
--
-- | `count` | functions that were called since the counters began |
-- | `track_functions` | the setting: with `none` nothing is counted, and there are no rows |
-- | `function_count` | functions and procedures that are not the system's |
-- | `calls`, `self_time_ms` | sums over all that were called |
-- | `security_definer_count` | functions and procedures that run with their owner's rights, without those of extensions |
-- | `security_definer_without_search_path_count`, `security_definer_without_search_path` | of these, such that others may call and that have no `search_path` set, so that who calls them chooses whose tables and functions they find; and the names of the first 20, those of superusers first |
-- | `security_definer_open_schemas` | schemas of these 20, as SQL writes them, in which every role may create |
-- | `security_definer_without_search_path_superuser_count` | of these, such that run as a superuser |
--
-- Others may call what they have EXECUTE on in a schema that they have USAGE on; a trigger's function runs for who writes
-- the table, whatever he may call.
WITH called AS MATERIALIZED (
    SELECT p.oid, pg_stat_get_function_calls(p.oid) AS calls FROM pg_proc p WHERE p.oid >= 16384
), definer AS MATERIALIZED (
    SELECT format('%I.%I(%s)', n.nspname, p.proname, oidvectortypes(p.proargtypes)) COLLATE "C" AS name,
           o.rolsuper AS is_superuser,
           CASE WHEN EXISTS (SELECT FROM aclexplode(n.nspacl) a WHERE a.privilege_type = 'CREATE' AND a.grantee = 0)
                THEN format('%I', n.nspname) END COLLATE "C" AS open_schema,
           NOT EXISTS (SELECT FROM unnest(p.proconfig) setting WHERE starts_with(setting, 'search_path='))
           AND (p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype)
                OR EXISTS (SELECT FROM aclexplode(n.nspacl) a WHERE a.privilege_type = 'USAGE' AND a.grantee <> n.nspowner)
                   AND EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                                WHERE a.grantee <> p.proowner)) AS unsafe
      FROM pg_proc p
      JOIN pg_namespace n ON n.oid = p.pronamespace
      JOIN pg_roles o ON o.oid = p.proowner
     WHERE p.oid >= 16384
       AND p.prosecdef
       AND NOT EXISTS (SELECT FROM pg_depend
                        WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')
), named AS MATERIALIZED (
    SELECT name, is_superuser, open_schema FROM definer WHERE unsafe ORDER BY is_superuser DESC, name LIMIT 20
)
SELECT count(calls) AS count,
       current_setting('track_functions') AS track_functions,
       count(*) AS function_count,
       coalesce(sum(calls), 0)::bigint AS calls,
       coalesce(sum(pg_stat_get_function_self_time(oid)) FILTER (WHERE calls IS NOT NULL), 0) AS self_time_ms,
       (SELECT count(*) FROM definer) AS security_definer_count,
       (SELECT count(*) FROM definer WHERE unsafe) AS security_definer_without_search_path_count,
       (SELECT coalesce(json_agg(name ORDER BY is_superuser DESC, name), '[]') FROM named) AS security_definer_without_search_path,
       (SELECT coalesce(json_agg(DISTINCT open_schema) FILTER (WHERE open_schema IS NOT NULL), '[]') FROM named) AS security_definer_open_schemas,
       (SELECT count(*) FROM definer WHERE unsafe AND is_superuser) AS security_definer_without_search_path_superuser_count
  FROM called
