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
), pair AS MATERIALIZED (
    SELECT conrelid AS relid, k.attnum, confrelid AS ref_relid, k.ref_attnum
      FROM pg_constraint
 CROSS JOIN LATERAL unnest(conkey, confkey) k (attnum, ref_attnum)
      JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = k.attnum
      JOIN pg_attribute r ON r.attrelid = confrelid AND r.attnum = k.ref_attnum
     WHERE contype = 'f'
       AND conparentid = 0
       AND (a.atttypid = 21 AND r.atttypid IN (23, 20) OR a.atttypid = 23 AND r.atttypid = 20)
), key AS MATERIALIZED (
    SELECT coalesce(fed.relid, sole.relid) AS relid, coalesce(fed.attnum, sole.attnum) AS attnum, sequence, false AS is_reference
      FROM fed
      FULL JOIN sole ON sole.relid = fed.relid AND sole.attnum = fed.attnum
     UNION ALL
    SELECT pair.relid, pair.attnum, fed.sequence, true
      FROM pair
      LEFT JOIN fed ON fed.relid = ref_relid AND fed.attnum = ref_attnum
)
SELECT count(*) AS count,
       count(*) FILTER (WHERE NOT is_reference AND sequence IS NOT NULL) AS fed_count,
       count(*) FILTER (WHERE NOT is_reference AND sequence IS NULL) AS unfed_key_count,
       count(*) FILTER (WHERE is_reference) AS narrow_reference_count,
-- [pg < 18]       count(*) FILTER (WHERE NOT has_sequence_privilege(sequence, 'USAGE, SELECT')) AS unreadable_count,
       count(*) FILTER (WHERE NOT has_sequence_privilege(sequence, 'SELECT')) AS unreadable_count, -- [pg >= 18]
       count(*) FILTER (WHERE sequence IN (SELECT oid FROM held)) AS locked_count
  FROM key
  JOIN pg_class c ON c.oid = relid
  JOIN pg_attribute a ON a.attrelid = relid AND a.attnum = key.attnum
 WHERE a.atttypid IN (21, 23)
   AND NOT a.attisdropped
   AND c.relkind IN ('r', 'p')
   AND NOT c.relispartition
   AND c.relpersistence <> 't'
   AND c.oid >= 16384
