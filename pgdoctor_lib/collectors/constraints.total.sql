-- source: pg_constraint, pg_index, pg_trigger
-- scope: database
-- cadence: hourly
-- rows: one
-- needs: nothing
-- about: Over all constraints, what a partition has from its parent left out.
--
-- | `count` | those that call for something |
-- | `foreign_key_count`, `unindexed_count` | foreign keys, and those without an index |
-- | `not_valid_count`, `not_enforced_count` (18+) | NOT VALID, though enforced, and NOT ENFORCED |
-- | `disabled_trigger_count`, `disabled_internal_trigger_count` | triggers that are disabled, and those by which foreign keys and deferred constraints are enforced |
-- | `disabled_triggers` | 20 of either kind: `schemaname`, `relname`, `tgname`, `tgisinternal` |
WITH found AS MATERIALIZED (
    SELECT contype,
           convalidated,
           conenforced,                                                                   -- [pg >= 18]
-- [pg < 18]           true AS conenforced,
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
           END AS is_indexed
      FROM pg_constraint con
      JOIN pg_class c ON c.oid = conrelid
     WHERE (contype = 'f' OR NOT convalidated)
       AND conparentid = 0
       AND conislocal
       AND c.relpersistence <> 't'
       AND c.oid >= 16384
), disabled AS MATERIALIZED (
    SELECT n.nspname AS schemaname, c.relname, t.tgname, t.tgisinternal, c.oid
      FROM pg_trigger t
      JOIN pg_class c ON c.oid = tgrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE tgenabled = 'D'
       AND c.relpersistence <> 't'
       AND c.oid >= 16384
)
SELECT count(*) FILTER (WHERE conenforced AND (NOT convalidated OR NOT is_indexed)) AS count,
       count(*) FILTER (WHERE contype = 'f') AS foreign_key_count,
       count(*) FILTER (WHERE conenforced AND NOT is_indexed) AS unindexed_count,
       count(*) FILTER (WHERE conenforced AND NOT convalidated) AS not_valid_count,
       count(*) FILTER (WHERE NOT conenforced) AS not_enforced_count,
       (SELECT count(*) FROM disabled WHERE NOT tgisinternal) AS disabled_trigger_count,
       (SELECT count(*) FROM disabled WHERE tgisinternal) AS disabled_internal_trigger_count,
       (SELECT json_agg(json_build_object('schemaname', schemaname, 'relname', relname, 'tgname', tgname, 'tgisinternal', tgisinternal)
                        ORDER BY tgisinternal, oid, tgname)
          FROM (SELECT *, row_number() OVER (PARTITION BY tgisinternal ORDER BY oid, tgname) AS place FROM disabled) d
         WHERE place <= 20) AS disabled_triggers
  FROM found
