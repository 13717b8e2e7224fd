-- source: pg_constraint, pg_index (postgresql.org/docs/current/catalog-pg-constraint.html)
-- scope: database
-- cadence: hourly
-- rows: many, 50 foreign keys without an index and 50 constraints not validated, each by size of the table
-- needs: nothing
-- counters: ref_n_tup_upd, ref_n_tup_del
-- about: Constraints that call for something: foreign keys whose columns are not the first ones of a valid index of the referencing table, in whatever order, so that each DELETE of a referenced row reads all of that table; and constraints NOT VALID. 50 of each kind, those of the largest tables first. What a partition has from its parent is left out.
--
-- | `relid`, `schemaname`, `relname`, `relkind` | the table |
-- | `conname`, `contype`, `columns` | the constraint: `f` foreign key, `c` check, `n` not null (18+); its columns' names |
-- | `is_indexed` | of a foreign key: whether an index serves it; one WHERE a column of it IS NOT NULL does |
-- | `convalidated` | `false`: rows that were there before it may break it |
-- | `is_extension_member` | whether an extension made the table |
-- | `size_bytes`, `reltuples` | of the table, without indexes and TOAST, its partitions summed up, as of the last VACUUM or ANALYZE |
-- | `ref_relid`, `ref_schemaname`, `ref_relname`, `ref_columns` | of a foreign key: what it references |
-- | `ref_size_bytes`, `ref_reltuples`, `ref_n_tup_upd`, `ref_n_tup_del` | size, rows, and rows updated and deleted, of the referenced table |
-- | `confupdtype`, `confdeltype` | of a foreign key, on UPDATE and DELETE: `a` no action, `r` restrict, `c` cascade, `n` set null, `d` set default |
--
-- A condition is read from its node tree, since pg_get_expr() opens the table.
WITH RECURSIVE tree (root, oid, relkind) AS (
    SELECT oid, oid, relkind FROM pg_partitioned_table JOIN pg_class ON oid = partrelid WHERE NOT relispartition
    UNION ALL
    SELECT tree.root, c.oid, c.relkind
      FROM tree
      JOIN pg_inherits ON inhparent = tree.oid
      JOIN pg_class c ON c.oid = inhrelid
     WHERE tree.relkind = 'p'
), trunk AS MATERIALIZED (
    SELECT root AS oid,
           sum(relpages) AS pages,
           sum(nullif(reltuples, -1)) AS reltuples,
           sum(pg_stat_get_tuples_updated(c.oid)) AS upd,
           sum(pg_stat_get_tuples_deleted(c.oid)) AS del
      FROM tree
      JOIN pg_class c USING (oid)
     WHERE c.relkind = 'r'
     GROUP BY root
), found AS MATERIALIZED (
    SELECT con.*,
           c.relnamespace,
           c.relname,
           c.relkind,
           CASE WHEN contype = 'f' THEN EXISTS (
               SELECT FROM pg_index i
                 JOIN pg_class x ON x.oid = indexrelid
                 JOIN pg_am ON pg_am.oid = x.relam
                WHERE indrelid = conrelid
                  AND indisvalid
                  AND amname <> 'brin'
                  AND indnkeyatts >= cardinality(conkey)
                  AND conkey <@ (indkey::int2[])[0:cardinality(conkey) - 1]
                  AND (indpred IS NULL
                       OR indpred::text ~ '^[{]NULLTEST :arg [{]VAR [^{}]*[}] :nulltesttype 1 [^{}]*[}]$'
                          AND substring(indpred::text, ':varattno ([0-9]+)')::int2 = ANY (conkey)))
           END AS is_indexed,
           coalesce(trunk.pages, greatest(c.relpages, 0)) AS pages,
           coalesce(trunk.reltuples, nullif(c.reltuples, -1)) AS reltuples
      FROM pg_constraint con
      JOIN pg_class c ON c.oid = conrelid
      LEFT JOIN trunk ON trunk.oid = conrelid
     WHERE (contype = 'f' OR NOT convalidated)
       AND conparentid = 0
       AND conislocal
       AND conenforced                                                                    -- [pg >= 18]
       AND c.relpersistence <> 't'
       AND c.oid >= 16384
), shown AS MATERIALIZED (
    SELECT oid FROM (SELECT oid FROM found WHERE NOT is_indexed ORDER BY pages DESC, oid LIMIT 50) unindexed
     UNION
    SELECT oid FROM (SELECT oid FROM found WHERE NOT convalidated ORDER BY pages DESC, oid LIMIT 50) unvalidated
)
SELECT f.conrelid::bigint AS relid,
       n.nspname AS schemaname,
       f.relname,
       f.relkind,
       f.conname,
       f.contype,
       (SELECT json_agg(attname ORDER BY place)
          FROM unnest(f.conkey) WITH ORDINALITY k (number, place)
          JOIN pg_attribute ON attrelid = f.conrelid AND attnum = number) AS columns,
       f.is_indexed,
       f.convalidated,
       EXISTS (SELECT FROM pg_depend
                WHERE classid = 'pg_class'::regclass AND objid = f.conrelid AND deptype = 'e') AS is_extension_member,
       (f.pages * b.size)::bigint AS size_bytes,
       f.reltuples,
       r.oid::bigint AS ref_relid,
       rn.nspname AS ref_schemaname,
       r.relname AS ref_relname,
       (SELECT json_agg(attname ORDER BY place)
          FROM unnest(f.confkey) WITH ORDINALITY k (number, place)
          JOIN pg_attribute ON attrelid = f.confrelid AND attnum = number) AS ref_columns,
       (coalesce(t.pages, greatest(r.relpages, 0)) * b.size)::bigint AS ref_size_bytes,
       coalesce(t.reltuples, nullif(r.reltuples, -1)) AS ref_reltuples,
       coalesce(t.upd, pg_stat_get_tuples_updated(r.oid))::bigint AS ref_n_tup_upd,
       coalesce(t.del, pg_stat_get_tuples_deleted(r.oid))::bigint AS ref_n_tup_del,
       CASE WHEN f.contype = 'f' THEN f.confupdtype END AS confupdtype,
       CASE WHEN f.contype = 'f' THEN f.confdeltype END AS confdeltype
  FROM shown
  JOIN found f ON f.oid = shown.oid
  JOIN pg_namespace n ON n.oid = f.relnamespace
  LEFT JOIN pg_class r ON r.oid = f.confrelid
  LEFT JOIN pg_namespace rn ON rn.oid = r.relnamespace
  LEFT JOIN trunk t ON t.oid = r.oid
 CROSS JOIN (SELECT current_setting('block_size')::bigint) b (size)
 ORDER BY size_bytes DESC, relid, f.conname
