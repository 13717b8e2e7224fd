-- source: pg_class, pg_attribute, pg_constraint, pg_index, pg_proc, pg_type, pg_trigger (postgresql.org/docs/current/catalogs.html)
-- scope: database
-- cadence: hourly
-- rows: many, up to 2,000 objects by schema, kind and name; of a database that has more, one for each schema
-- needs: nothing
-- about: What the schema is made of: first one row with a fingerprint of all, then one row an object, so that it can be told from two snapshots what was created, altered and dropped. Where there are more than 2,000 objects, one row a schema stands for all that is in it. Looked at are the names of things, columns' types, collations, NOT NULL and whether there is a default, storage parameters, partition keys and bounds, keys and flags of constraints, indexes and triggers, the source of functions, and of a view which columns and functions its query uses; neither what other expressions say (defaults, CHECK, predicates), nor owners, privileges and comments, nor what belongs to an extension.
--
-- | `kind` | `table`, `partitioned table`, `foreign table`, `view`, `materialized view`, `sequence`, `index`, `constraint`, `function`, `procedure`, `aggregate`, `enum`, `domain`, `range`, `composite type`, `type`, `trigger`, `policy`, `extension`, `schema`; `contents` where the row stands for all objects, or all of one schema |
-- | `schemaname`, `name` | the object; a function with the types of its arguments. `null` for `contents`: the name, and for all of the database the schema too |
-- | `relname` | the table of an index, constraint, trigger or policy |
-- | `fingerprint` | 8 hexadecimal digits, of `contents` 16; made of names, not oids: the same after a dump and restore, and in another database of the same major version with the same schema |
--
-- To print an expression locks its table: so they are not looked at. A constraint and its index are one object. What is
-- internal, or a clone of a parent's trigger or constraint, is left out.
-- A catalog that no ANALYZE has seen has the statistics of an empty database, by which next to nothing is above oid 16384:
-- what is then joined row by row takes the square of the time. Of a CASE or a boolean column half is expected: hence these.
-- schema.total.sql begins with the same CTEs, which are computed once for both.
-- hashtextextended() is what hash partitions go by: releases do not change it. md5() may be refused by the platform.
WITH extended AS MATERIALIZED (
    SELECT d.classid, d.objid
      FROM pg_extension e
      JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
), namespace AS MATERIALIZED (
    SELECT n.oid, n.nspname::text
      FROM pg_namespace n
     WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
), relation AS MATERIALIZED (
    SELECT c.oid, n.nspname, c.relname::text, c.relkind, c.relpersistence, c.reloptions, c.relrowsecurity,
           c.relforcerowsecurity, c.relreplident, c.relispartition, m.amname,
           c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AS has_columns
      FROM pg_class c
      JOIN namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_am m ON m.oid = c.relam
     WHERE CASE WHEN c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c', 'i', 'I', 'S') THEN c.relpersistence <> 't' END
       AND c.oid NOT IN (SELECT objid FROM extended WHERE classid = 'pg_class'::regclass)
), attribute AS MATERIALIZED (
    SELECT o.attrelid,
           array_agg(o.name) AS names,
           string_agg(o.facts, ' ') FILTER (WHERE NOT o.attisdropped) AS facts
      FROM (SELECT a.attrelid, a.attisdropped, hashtextextended(a.attname::text COLLATE "C", 0) AS name,
                   concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), l.collname, a.attnotnull, a.atthasdef,
                             a.attidentity, a.attgenerated) AS facts
              FROM pg_attribute a
              JOIN relation r ON r.oid = a.attrelid AND r.has_columns
              LEFT JOIN pg_collation l ON l.oid = a.attcollation
             WHERE a.attnum > 0
             ORDER BY a.attrelid, a.attnum) o
     GROUP BY o.attrelid
), inherited AS MATERIALIZED (
    SELECT i.inhrelid, string_agg(concat_ws('.', r.nspname, r.relname), ',' ORDER BY i.inhseqno) AS parents
      FROM pg_inherits i
      JOIN relation r ON r.oid = i.inhparent
     GROUP BY i.inhrelid
), rule AS MATERIALIZED (
    SELECT w.oid, w.ev_class FROM pg_rewrite w WHERE w.oid >= 16384
), used AS MATERIALIZED (
    SELECT w.ev_class AS oid,
           string_agg(DISTINCT concat_ws('.', rn.nspname, r.relname, a.attname, pn.nspname, p.proname) COLLATE "C", ',') AS names
      FROM rule w
      JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
      LEFT JOIN pg_class r ON d.refclassid = 'pg_class'::regclass AND r.oid = d.refobjid
      LEFT JOIN pg_namespace rn ON rn.oid = r.relnamespace
      LEFT JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = d.refobjsubid
      LEFT JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
      LEFT JOIN pg_namespace pn ON pn.oid = p.pronamespace
     GROUP BY w.ev_class
), sorted AS MATERIALIZED (
    SELECT d.indclass, d.indcollation, string_agg(concat_ws('.', o.opcname, l.collname), ',' ORDER BY k.n) AS facts
      FROM (SELECT DISTINCT indclass, indcollation FROM pg_index) d
     CROSS JOIN LATERAL unnest(d.indclass::oid[], d.indcollation::oid[]) WITH ORDINALITY k (class, coll, n)
      LEFT JOIN pg_opclass o ON o.oid = k.class
      LEFT JOIN pg_collation l ON l.oid = k.coll
     GROUP BY d.indclass, d.indcollation
), keyed AS MATERIALIZED (
    SELECT i.indexrelid, r.nspname, r.relname, owner.relname AS owner, inherited.parents,
           concat_ws(' ', r.relkind, r.amname, i.indisunique, i.indnkeyatts, i.indoption, r.reloptions,
                     i.indnullsnotdistinct,                                                   -- [pg >= 15]
-- [pg < 15]                     false,
                     i.indexprs IS NOT NULL, i.indpred IS NOT NULL, s.facts,
                     CASE i.indnatts WHEN 1 THEN a.names[i.indkey[0]]::text
                          ELSE (SELECT string_agg(coalesce(a.names[k.attnum]::text, ''), ',' ORDER BY k.n)
                                  FROM unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, n))
                     END) AS facts
      FROM pg_index i
      JOIN relation r ON r.oid = i.indexrelid
      JOIN relation owner ON owner.oid = i.indrelid
      LEFT JOIN attribute a ON a.attrelid = i.indrelid
      LEFT JOIN sorted s ON s.indclass = i.indclass AND s.indcollation = i.indcollation
      LEFT JOIN inherited ON inherited.inhrelid = i.indexrelid
), constrained AS MATERIALIZED (
    SELECT c.conname, c.conrelid, c.contypid, c.conparentid = 0 AS is_own,
           CASE WHEN c.contype IN ('p', 'u', 'x') THEN c.conindid END AS index,
           concat_ws(' ', c.contype, c.condeferrable, c.condeferred, c.convalidated, c.connoinherit,
                     CASE cardinality(c.conkey) WHEN 1 THEN a.names[c.conkey[1]]::text
                          ELSE (SELECT string_agg(a.names[k.attnum]::text, ',' ORDER BY k.n) FROM unnest(c.conkey) WITH ORDINALITY k (attnum, n))
                     END,
                     f.nspname, f.relname, c.confupdtype, c.confdeltype, c.confmatchtype,
                     CASE coalesce(cardinality(c.confkey), 0) WHEN 0 THEN NULL WHEN 1 THEN fa.names[c.confkey[1]]::text
                          ELSE (SELECT string_agg(fa.names[k.attnum]::text, ',' ORDER BY k.n) FROM unnest(c.confkey) WITH ORDINALITY k (attnum, n))
                     END) AS facts
      FROM pg_constraint c
      LEFT JOIN attribute a ON a.attrelid = c.conrelid
      LEFT JOIN relation f ON f.oid = c.confrelid
      LEFT JOIN attribute fa ON fa.attrelid = c.confrelid
     WHERE CASE WHEN c.oid >= 16384 THEN c.contype IN ('c', 'f', 'p', 'u', 'x') END
), checked AS MATERIALIZED (
    SELECT c.contypid, string_agg(concat_ws(' ', c.conname, c.facts), ',' ORDER BY c.conname) AS facts
      FROM constrained c
     WHERE c.contypid <> 0
     GROUP BY c.contypid
), object (kind, schemaname, name, relname, facts) AS NOT MATERIALIZED (
    SELECT CASE r.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'f' THEN 'foreign table'
                          WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'composite type' END,
           r.nspname, r.relname, NULL::text,
           concat_ws(' ', r.relpersistence, r.reloptions, r.relrowsecurity, r.relforcerowsecurity, r.relreplident,
                     p.partstrat,
                     CASE WHEN r.relkind = 'p'
                          THEN (SELECT string_agg(coalesce(a.names[k.attnum]::text, ''), ',' ORDER BY k.n)
                                  FROM unnest(p.partattrs::int2[]) WITH ORDINALITY k (attnum, n))
                     END,
                     i.parents, CASE WHEN r.relispartition THEN (SELECT pg_get_expr(relpartbound, 0) FROM pg_class WHERE oid = r.oid) END, a.facts, u.names)
      FROM relation r
      LEFT JOIN attribute a ON a.attrelid = r.oid
      LEFT JOIN inherited i ON i.inhrelid = r.oid
      LEFT JOIN pg_partitioned_table p ON p.partrelid = r.oid
      LEFT JOIN used u ON u.oid = r.oid
     WHERE r.has_columns
    UNION ALL
    SELECT 'sequence', r.nspname, r.relname, NULL,
           concat_ws(' ', r.relpersistence, format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcache, s.seqcycle)
      FROM relation r
      JOIN pg_sequence s ON s.seqrelid = r.oid
    UNION ALL
    SELECT 'index', k.nspname, k.relname, k.owner, concat_ws(' ', k.parents, k.facts)
      FROM keyed k
     WHERE NOT EXISTS (SELECT FROM constrained c WHERE c.index = k.indexrelid)
    UNION ALL
    SELECT 'constraint', r.nspname, c.conname::text, r.relname, concat_ws(' ', c.facts, k.facts)
      FROM constrained c
      JOIN relation r ON r.oid = c.conrelid
      LEFT JOIN keyed k ON k.indexrelid = c.index
     WHERE c.is_own
    UNION ALL
    SELECT CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
           n.nspname, format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)), NULL,
           concat_ws(' ', l.lanname, p.provolatile, p.prosecdef, p.proisstrict, p.proleakproof, p.proparallel, p.proconfig,
                     pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), p.probin, p.prosrc)
      FROM pg_proc p
      JOIN namespace n ON n.oid = p.pronamespace
      JOIN pg_language l ON l.oid = p.prolang
     WHERE CASE WHEN p.oid >= 16384 THEN true END
       AND p.oid NOT IN (SELECT objid FROM extended WHERE classid = 'pg_proc'::regclass)
       AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_type t ON t.oid = d.refobjid AND t.typtype IN ('r', 'm')
                        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i'
                          AND d.refclassid = 'pg_type'::regclass)
    UNION ALL
    SELECT CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range' ELSE 'type' END,
           n.nspname, t.typname::text, NULL,
           concat_ws(' ', t.typlen, format_type(nullif(t.typbasetype, 0), t.typtypmod), t.typnotnull, t.typdefault, format_type(g.rngsubtype, NULL),
                     (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid),
                     c.facts)
      FROM pg_type t
      JOIN namespace n ON n.oid = t.typnamespace
      LEFT JOIN pg_range g ON g.rngtypid = t.oid
      LEFT JOIN checked c ON c.contypid = t.oid
     WHERE CASE WHEN t.oid >= 16384 AND t.typrelid = 0 THEN t.typtype <> 'm' END
       AND t.typinput <> 'array_in'::regproc
       AND t.oid NOT IN (SELECT objid FROM extended WHERE classid = 'pg_type'::regclass)
    UNION ALL
    SELECT 'trigger', r.nspname, t.tgname::text, r.relname,
           concat_ws(' ', t.tgtype, t.tgenabled, t.tgdeferrable, t.tginitdeferred, n.nspname, p.proname, t.tgqual IS NOT NULL,
                     t.tgoldtable, t.tgnewtable, encode(t.tgargs, 'hex'),
                     (SELECT string_agg(a.names[k.attnum]::text, ',' ORDER BY k.n) FROM unnest(t.tgattr::int2[]) WITH ORDINALITY k (attnum, n)))
      FROM pg_trigger t
      JOIN relation r ON r.oid = t.tgrelid
      JOIN pg_proc p ON p.oid = t.tgfoid
      JOIN pg_namespace n ON n.oid = p.pronamespace
      LEFT JOIN attribute a ON a.attrelid = t.tgrelid
     WHERE NOT t.tgisinternal
       AND t.tgparentid = 0                                                                   -- [pg >= 13]
    UNION ALL
    SELECT 'policy', r.nspname, p.polname::text, r.relname,
           concat_ws(' ', p.polcmd, p.polpermissive, p.polqual IS NOT NULL, p.polwithcheck IS NOT NULL,
                     (SELECT string_agg(rolname, ',' ORDER BY rolname) FROM pg_roles WHERE oid = ANY (p.polroles)))
      FROM pg_policy p
      JOIN relation r ON r.oid = p.polrelid
    UNION ALL
    SELECT 'extension', n.nspname::text, e.extname::text, NULL, e.extversion
      FROM pg_extension e
      JOIN pg_namespace n ON n.oid = e.extnamespace
    UNION ALL
    SELECT 'schema', n.nspname, n.nspname::text, NULL, ''
      FROM namespace n
     WHERE n.oid NOT IN (SELECT objid FROM extended WHERE classid = 'pg_namespace'::regclass)
), hashed AS MATERIALIZED (
    SELECT o.kind, o.schemaname, o.name, o.relname,
           hashtextextended(concat_ws(' ', o.kind, o.schemaname, o.relname, o.name, o.facts) COLLATE "C", 0) AS hash
      FROM object o
), counted AS MATERIALIZED (
    SELECT count(*) AS count FROM hashed
)
SELECT h.kind, h.schemaname, h.name, h.relname, right(lpad(to_hex(h.hash), 16, '0'), 8) AS fingerprint
  FROM hashed h
  JOIN counted c ON c.count <= 2000
UNION ALL
SELECT 'contents', h.schemaname, NULL, NULL,
       lpad(to_hex(hashtextextended(string_agg(h.hash::text, ',' ORDER BY h.hash) COLLATE "C", 0)), 16, '0')
  FROM hashed h
  JOIN counted c ON c.count > 2000
 GROUP BY h.schemaname
UNION ALL
SELECT 'contents', NULL, NULL, NULL,
       lpad(to_hex(hashtextextended(string_agg(h.hash::text, ',' ORDER BY h.hash) COLLATE "C", 0)), 16, '0')
  FROM hashed h
 ORDER BY schemaname NULLS FIRST, kind, name, relname
