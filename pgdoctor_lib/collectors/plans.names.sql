-- source: pg_class, pg_inherits, pg_depend, pg_proc, pg_cast, pg_locks (postgresql.org/docs/current/catalogs.html)
-- scope: database
-- when: pg >= 16
-- rows: many, one for each name that a statement has and each relation that it may mean
-- needs: nothing
-- variables: names (a JSON array of [schema or null, name, privilege or null, whether it is called])
-- about: Whether planning what these names mean would run anything but PostgreSQL's own code.
--
-- | `asked_schema`, `asked_name` | as asked |
-- | `is_schema` | whether the schema is one, so that the name is qualified, and not an alias's column |
-- | `nspname` | where the relation is; `null` where there is none |
-- | `problem` | why no statement with it is planned; `null`: there is no reason |
--
-- Planning runs immutable functions (on constants, in index predicates, checks, defaults, policies, statistics, partition
-- bounds) with the rights of whoever asks for the plan. What a relation depends on is in pg_depend, but for PostgreSQL's
-- own objects, below oid 16384. member: the relation with all that inherit from it, and that it inherits from.
WITH RECURSIVE asked AS (
    SELECT DISTINCT e ->> 0 AS nspname, e ->> 1 AS relname, e ->> 2 AS privilege, (e ->> 3)::bool AS is_called
      FROM json_array_elements(:'names'::json) e
), found AS MATERIALIZED (
    SELECT a.nspname AS asked, a.relname, a.privilege, n.nspname, n.oid AS nspoid, c.oid, c.relkind,
           format('%I.%I', n.nspname, c.relname) AS name
      FROM asked a
      JOIN pg_class c ON c.relname = a.relname AND c.relkind IN ('r', 'p', 'm', 'v', 'f', 'S', 't', 'c')
      JOIN pg_namespace n ON n.oid = c.relnamespace
       AND (n.nspname = a.nspname OR a.nspname IS NULL AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_(toast|temp)')
     WHERE NOT a.is_called
), member AS (
    SELECT DISTINCT oid AS root, oid FROM found WHERE oid >= 16384
     UNION
    SELECT m.root, CASE m.oid WHEN i.inhparent THEN i.inhrelid ELSE i.inhparent END
      FROM member m
      JOIN pg_inherits i ON m.oid IN (i.inhparent, i.inhrelid)
), part AS MATERIALIZED (
    SELECT root, 'pg_class'::regclass AS classid, oid AS objid FROM member
     UNION ALL
    SELECT root, 'pg_class'::regclass, indexrelid FROM member JOIN pg_index ON indrelid = member.oid
     UNION ALL
    SELECT root, 'pg_attrdef'::regclass, d.oid FROM member JOIN pg_attrdef d ON adrelid = member.oid
     UNION ALL
    SELECT root, 'pg_constraint'::regclass, c.oid FROM member JOIN pg_constraint c ON conrelid = member.oid
     UNION ALL
    SELECT root, 'pg_statistic_ext'::regclass, s.oid FROM member JOIN pg_statistic_ext s ON stxrelid = member.oid
), enum AS MATERIALIZED (
    SELECT t.oid FROM pg_type t LEFT JOIN pg_type e ON e.oid = t.typelem
     WHERE t.oid >= 16384 AND (t.typtype = 'e' OR t.typcategory = 'A' AND (e.typtype = 'e' OR e.oid < 16384))
), foreign_code AS (
    SELECT root, min(pg_describe_object(refclassid, refobjid, 0)) AS what
      FROM part
      JOIN pg_depend d USING (classid, objid)
     WHERE refobjid >= 16384
       AND refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_opclass'::regclass, 'pg_opfamily'::regclass,
                          'pg_am'::regclass, 'pg_type'::regclass, 'pg_ts_config'::regclass, 'pg_ts_dict'::regclass)
       AND NOT (refclassid = 'pg_type'::regclass AND refobjid IN (SELECT oid FROM enum))
     GROUP BY root
), casts AS (
    SELECT count(*) + (SELECT count(*) FROM pg_operator
                        WHERE oid >= 16384 AND oprnamespace = 'pg_catalog'::regnamespace) AS count
      FROM pg_cast
     WHERE castfunc >= 16384
       AND (castsource < 16384 OR castsource IN (SELECT oid FROM enum))
       AND (casttarget < 16384 OR casttarget IN (SELECT oid FROM enum))
), state AS (
    SELECT root,
           count(*) AS count,
           string_agg(DISTINCT c.relkind::text, '') AS kinds,
           bool_or(c.relhasrules) AS has_rules,
           bool_or(c.relrowsecurity) AS has_policies,
           bool_or(l.relation IS NOT NULL) AS is_locked
      FROM member m
      LEFT JOIN pg_class c ON c.oid = m.oid
      LEFT JOIN (SELECT DISTINCT relation
                   FROM pg_locks
                  WHERE locktype = 'relation'
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                    AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')) l
        ON l.relation = m.oid OR l.relation IN (SELECT indexrelid FROM pg_index WHERE indrelid = m.oid)
     GROUP BY root
)
SELECT a.nspname AS asked_schema,
       a.relname AS asked_name,
       a.nspname IN ('pg_temp', current_database()) OR EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = a.nspname) AS is_schema,
       f.nspname,
       CASE WHEN a.is_called THEN
                 CASE WHEN EXISTS (SELECT FROM pg_proc
                                    WHERE proname = a.relname AND pronamespace = 'pg_catalog'::regnamespace AND oid >= 16384)
                        OR a.relname ~ '_to_xml'
                      THEN format('it calls %s(), which is not looked into', a.relname) END
            WHEN f.oid IS NULL THEN NULL
            WHEN (SELECT count FROM casts) > 0 THEN 'a cast or operator of PostgreSQL''s own types is somebody''s function'
            WHEN f.relkind = 'v' AND f.oid >= 16384 THEN format('%s is a view, which is not looked into', f.name)
            WHEN f.relkind NOT IN ('r', 'p', 'm', 'v') THEN format('%s is no table', f.name)
            WHEN NOT has_schema_privilege(f.nspoid, 'USAGE') OR NOT has_table_privilege(f.oid, 'SELECT')
              OR NOT has_table_privilege(f.oid, coalesce(f.privilege, 'SELECT'))
                 THEN format('the role lacks %s on %s', concat_ws(', ', 'SELECT', nullif(f.privilege, 'SELECT')), f.name)
            WHEN f.oid < 16384 THEN NULL
            WHEN s.count > 500 THEN format('%s has more than 500 partitions or children', f.name)
            WHEN s.kinds ~ '[^rpm]' THEN format('a partition or child of %s is no table', f.name)
            WHEN s.has_rules THEN format('%s has rules', f.name)
            WHEN s.has_policies THEN format('%s has row-level security', f.name)
            WHEN c.what IS NOT NULL THEN format('%s depends on %s, which is not PostgreSQL''s own', f.name, c.what)
            WHEN s.is_locked THEN format('%s is locked', f.name)
       END AS problem
  FROM asked a
  LEFT JOIN found f ON f.relname = a.relname AND f.asked IS NOT DISTINCT FROM a.nspname
                   AND f.privilege IS NOT DISTINCT FROM a.privilege AND NOT a.is_called
  LEFT JOIN state s ON s.root = f.oid
  LEFT JOIN foreign_code c ON c.root = f.oid
 ORDER BY asked_name, asked_schema, f.nspname
