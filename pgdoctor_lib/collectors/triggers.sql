-- source: pg_trigger, pg_constraint (postgresql.org/docs/current/catalog-pg-trigger.html)
-- scope: database
-- cadence: hourly
-- rows: many, 50 by size of the table
-- needs: nothing
-- about: Triggers that are disabled, 50 of the largest tables: users' own, and those by which the server enforces a constraint, of which each constraint is one row for a table.
--
-- | `relid`, `schemaname`, `relname` | the table |
-- | `name` | the trigger, or where it is the server's own the constraint |
-- | `contype` | of a constraint: `f` foreign key, `u` unique, `p` primary key, `x` exclusion (deferrable ones); `null` for a user's trigger |
-- | `con_schemaname`, `con_relname` | of a constraint: the table that has it; the other end of a foreign key has triggers, too |
-- | `size_bytes` | of the table, without indexes and TOAST, as of the last VACUUM or ANALYZE |
-- | `is_extension_member` | whether an extension made the table |
--
-- 13+: what a partition has from its parent, where it is disabled, too, is left out. Up to 14 that counts as internal.
SELECT DISTINCT
       c.oid::bigint AS relid,
       n.nspname AS schemaname,
       c.relname,
       CASE WHEN t.tgisinternal THEN coalesce(con.conname, t.tgname) ELSE t.tgname END AS name,
       CASE WHEN t.tgisinternal THEN con.contype END AS contype,
       CASE WHEN t.tgisinternal THEN cn.nspname END AS con_schemaname,
       CASE WHEN t.tgisinternal THEN cc.relname END AS con_relname,
       greatest(c.relpages, 0) * current_setting('block_size')::bigint AS size_bytes,
       EXISTS (SELECT FROM pg_depend
                WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e') AS is_extension_member
  FROM pg_trigger t
  JOIN pg_class c ON c.oid = t.tgrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_constraint con ON con.oid = t.tgconstraint
  LEFT JOIN pg_class cc ON cc.oid = con.conrelid
  LEFT JOIN pg_namespace cn ON cn.oid = cc.relnamespace
 WHERE t.tgenabled = 'D'
   AND (con.oid IS NOT NULL OR NOT t.tgisinternal
        OR t.tgparentid <> 0                                                           -- [pg >= 13]
       )
   AND c.relpersistence <> 't'
   AND c.oid >= 16384
   AND NOT EXISTS (SELECT FROM pg_trigger p WHERE p.oid = t.tgparentid AND p.tgenabled = 'D')  -- [pg >= 13]
 ORDER BY size_bytes DESC, relid, name
 LIMIT 50
