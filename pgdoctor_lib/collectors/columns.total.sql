-- source: pg_attribute, pg_sequence, pg_constraint
-- scope: database
-- cadence: hourly
-- rows: one
-- needs: nothing
-- about: How many there are of these columns.
--
-- | `count` | columns by sequence, and references by constraint |
-- | `fed_count`, `unfed_key_count`, `narrow_reference_count` | those that a sequence or identity feeds, other keys of one column, and foreign keys that reference a wider column |
-- | `unreadable_count`, `locked_count` | those whose sequence the role may not read, or a lock kept us from |
WITH held AS MATERIALIZED (
    SELECT DISTINCT relation AS oid
      FROM pg_locks
     WHERE locktype = 'relation'
       AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
), fed AS MATERIALIZED (
    SELECT refobjid AS relid, refobjsubid::int2 AS attnum, objid AS sequence
      FROM pg_depend
      JOIN pg_sequence ON seqrelid = objid
     WHERE classid = 'pg_class'::regclass
       AND refclassid = 'pg_class'::regclass
       AND refobjsubid > 0
       AND deptype IN ('a', 'i')
     UNION
    SELECT adrelid, adnum, refobjid
      FROM pg_depend
      JOIN pg_attrdef ON pg_attrdef.oid = objid
      JOIN pg_sequence ON seqrelid = refobjid
     WHERE classid = 'pg_attrdef'::regclass
       AND refclassid = 'pg_class'::regclass
), sole AS MATERIALIZED (
    SELECT indrelid AS relid, indkey[0] AS attnum FROM pg_index WHERE indisprimary AND indnkeyatts = 1
), number AS MATERIALIZED (
    WITH RECURSIVE walk (oid, base) AS (
        SELECT oid, oid FROM pg_type WHERE oid IN (20, 21, 23)
        UNION ALL
        SELECT d.oid, walk.base FROM walk JOIN pg_type d ON d.typbasetype = walk.oid AND d.typtype = 'd'
    )
    SELECT * FROM walk
), tie AS MATERIALIZED (
    SELECT conrelid AS relid, k.attnum, confrelid AS ref_relid, k.ref_attnum, an.base, rn.base AS ref_base
      FROM pg_constraint
 CROSS JOIN LATERAL unnest(conkey, confkey) k (attnum, ref_attnum)
      JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = k.attnum
      JOIN pg_attribute r ON r.attrelid = confrelid AND r.attnum = k.ref_attnum
      JOIN number an ON an.oid = a.atttypid
      JOIN number rn ON rn.oid = r.atttypid
     WHERE contype = 'f'
       AND conparentid = 0
       AND an.base IN (21, 23)
), pair AS MATERIALIZED (
    SELECT relid, attnum, ref_relid, ref_attnum
      FROM tie
     WHERE base = 21 AND ref_base IN (23, 20) OR base = 23 AND ref_base = 20
), key AS MATERIALIZED (
    SELECT coalesce(fed.relid, sole.relid) AS relid,
           coalesce(fed.attnum, sole.attnum) AS attnum,
           sequence,
           NULL::oid AS ref_relid,
           NULL::int2 AS ref_attnum
      FROM fed
      FULL JOIN sole ON sole.relid = fed.relid AND sole.attnum = fed.attnum
     UNION ALL
    SELECT pair.relid, pair.attnum, fed.sequence, ref_relid, ref_attnum
      FROM pair
      LEFT JOIN fed ON fed.relid = ref_relid AND fed.attnum = ref_attnum
), known AS MATERIALIZED (
    SELECT key.*,
           c.relnamespace,
           c.relname,
           c.relkind,
           nullif(c.reltuples, -1) AS reltuples,
           a.attname,
           a.atttypid,
           a.attidentity,
           CASE number.base WHEN 21 THEN 32767 ELSE 2147483647 END AS limit_value,
           CASE WHEN c.relkind = 'p' THEN 1
                ELSE greatest(c.reltuples, pg_stat_get_tuples_inserted(c.oid)) / CASE number.base WHEN 21 THEN 32767.0 ELSE 2147483647.0 END
           END AS fill,
-- [pg < 18]           has_sequence_privilege(s.oid, 'USAGE, SELECT') AS readable,
           has_sequence_privilege(s.oid, 'SELECT') AS readable,                           -- [pg >= 18]
           s.oid IN (SELECT oid FROM held) AS locked,
           s.relpersistence = 'u' AND pg_is_in_recovery() AS missing
      FROM key
      JOIN pg_class c ON c.oid = key.relid
      JOIN pg_attribute a ON a.attrelid = key.relid AND a.attnum = key.attnum
      JOIN number ON number.oid = a.atttypid
      LEFT JOIN pg_class s ON s.oid = sequence AND s.relkind = 'S' AND s.relpersistence <> 't'
     WHERE CASE WHEN number.base IN (21, 23) THEN NOT a.attisdropped END
       AND CASE WHEN c.oid >= 16384 AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't' THEN NOT c.relispartition END
)
SELECT count(*) AS count,
       count(*) FILTER (WHERE ref_relid IS NULL AND sequence IS NOT NULL) AS fed_count,
       count(*) FILTER (WHERE ref_relid IS NULL AND sequence IS NULL) AS unfed_key_count,
       count(*) FILTER (WHERE ref_relid IS NOT NULL) AS narrow_reference_count,
       count(*) FILTER (WHERE NOT readable) AS unreadable_count,
       count(*) FILTER (WHERE locked) AS locked_count
  FROM known
