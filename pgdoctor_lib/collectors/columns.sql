-- source: pg_attribute, pg_sequence, pg_constraint, pg_stats (postgresql.org/docs/current/catalog-pg-attribute.html)
-- scope: database
-- cadence: hourly
-- rows: many, 100 by used_percent, 50 references to wider keys and 50 keys whose values are not seen, each by rows of the table for the range
-- needs: pg_read_all_data (14+), or SELECT on the tables and sequences, else values are not seen
-- about: Columns of smallint and integer, and of domains over them, that may run out of numbers: those that a sequence or identity feeds, keys of one column, and foreign keys that reference a wider column. 100 by how far they are, 50 of those references and 50 keys whose values are not seen, by the number of rows for the range. Partitions are left out: their parent has the same columns. At most 200 sequences are read, as in `sequences`.
--
-- | `relid`, `schemaname`, `relname`, `relkind`, `attname`, `data_type` | the column |
-- | `is_primary_key`, `is_identity` | whether it is of the primary key; whether it is GENERATED AS IDENTITY |
-- | `is_extension_member` | whether an extension made the table |
-- | `ref_relid`, `ref_schemaname`, `ref_relname`, `ref_attname`, `ref_data_type` | of a foreign key: the wider column that it references |
-- | `sequence_relid`, `sequence_schemaname`, `sequencename` | what feeds it, or the column that it references |
-- | `readable`, `locked` | whether the role may read that sequence, and whether a lock kept us from it: see `sequences` |
-- | `last_value` | of that sequence; `null` where it was never used, or not read |
-- | `greatest_value` | where no sequence was read, the greatest in the column's histogram (pg_stats, which holds only what the role may SELECT) |
-- | `limit_value`, `used_percent` | where the numbers end that the type holds (of a descending sequence: the least), and what has been used of them |
-- | `is_partition_key` | whether the table is partitioned by it, so that its type cannot be changed |
-- | `reltuples`, `size_bytes` | of the table, without indexes and TOAST, as of the last VACUUM or ANALYZE |
-- | `referencing_count`, `referencing` | of the 20 that are most used: columns of these types that reference it, or one that does, whose tables are no partitions; the 20 of the largest tables, each with its `schemaname`, `relname`, `attname`, `is_partition_key` and `size_bytes`. `null` for the others |
--
-- Sequences are read and left out for the reasons given in sequences.sql.
-- Of a CASE half of the rows are expected, whatever an old or missing ANALYZE tells of the catalogs: see schema.sql.
-- columns.total.sql begins with the same CTEs, which are computed once for both.
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
), picked AS MATERIALIZED (
    SELECT sequence
      FROM known
     WHERE readable AND NOT locked AND NOT missing
     GROUP BY sequence
     ORDER BY max(fill) DESC NULLS LAST, sequence
     LIMIT 200
), value AS MATERIALIZED (
-- [pg < 18]    SELECT sequence, pg_sequence_last_value(sequence) AS last_value FROM picked
    SELECT sequence, CASE WHEN d.is_called THEN d.last_value END AS last_value            -- [pg >= 18]
      FROM picked, pg_get_sequence_data(sequence) d                                       -- [pg >= 18]
), used AS MATERIALIZED (
    SELECT known.*, last_value, value.sequence IS NOT NULL AS was_read
      FROM known
      LEFT JOIN value ON value.sequence = known.sequence
), shown AS MATERIALIZED (
    (SELECT * FROM used WHERE was_read ORDER BY abs(coalesce(last_value, 0)) / limit_value::float8 DESC, fill DESC, relid LIMIT 100)
     UNION (SELECT * FROM used WHERE ref_relid IS NOT NULL ORDER BY fill DESC, relid LIMIT 50)
     UNION (SELECT * FROM used WHERE NOT was_read ORDER BY fill DESC, relid LIMIT 50)
), measured AS MATERIALIZED (
    SELECT shown.*,
           n.nspname,
           CASE WHEN NOT was_read THEN (
               SELECT (histogram_bounds::text::bigint[])[array_upper(histogram_bounds::text::bigint[], 1)]
                 FROM pg_stats p
                WHERE p.schemaname = n.nspname
                  AND p.tablename = relname
                  AND p.attname = shown.attname
                ORDER BY inherited DESC
                LIMIT 1)
           END AS greatest_value
      FROM shown
      JOIN pg_namespace n ON n.oid = relnamespace
), near AS MATERIALIZED (
    SELECT relid, attnum
      FROM measured
     WHERE last_value IS NOT NULL OR greatest_value IS NOT NULL
     GROUP BY relid, attnum
     ORDER BY max(abs(coalesce(last_value, greatest_value)) / limit_value::float8) DESC, relid, attnum
     LIMIT 20
), referencing AS MATERIALIZED (
    WITH RECURSIVE walk (root_relid, root_attnum, relid, attnum) AS (
        SELECT relid, attnum, relid, attnum FROM near
         UNION
        SELECT root_relid, root_attnum, tie.relid, tie.attnum
          FROM walk
          JOIN tie ON ref_relid = walk.relid AND ref_attnum = walk.attnum
    ), ranked AS (
        SELECT walk.*, row_number() OVER (PARTITION BY root_relid, root_attnum ORDER BY relpages DESC, relid, attnum) AS place
          FROM walk
          JOIN pg_class ON oid = relid
         WHERE (relid, attnum) <> (root_relid, root_attnum)
           AND NOT relispartition
    )
    SELECT near.relid,
           near.attnum,
           count(ranked.relid) AS count,
           coalesce(json_agg(json_build_object(
               'schemaname', n.nspname,
               'relname', c.relname,
               'attname', a.attname,
               'is_partition_key', EXISTS (SELECT FROM pg_partitioned_table WHERE partrelid = a.attrelid AND a.attnum = ANY (partattrs)),
               'size_bytes', greatest(c.relpages, 0) * current_setting('block_size')::bigint) ORDER BY place)
             FILTER (WHERE place <= 20), '[]') AS columns
      FROM near
      LEFT JOIN ranked ON root_relid = near.relid AND root_attnum = near.attnum
      LEFT JOIN pg_class c ON c.oid = ranked.relid
      LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_attribute a ON a.attrelid = ranked.relid AND a.attnum = ranked.attnum
     GROUP BY near.relid, near.attnum
)
SELECT m.relid::bigint AS relid,
       m.nspname AS schemaname,
       m.relname,
       m.relkind,
       m.attname,
       format_type(m.atttypid, NULL) AS data_type,
       EXISTS (SELECT FROM pg_index
                WHERE indrelid = m.relid
                  AND indisprimary
                  AND m.attnum = ANY ((indkey::int2[])[0:indnkeyatts - 1])) AS is_primary_key,
       m.attidentity <> '' AS is_identity,
       EXISTS (SELECT FROM pg_depend
                WHERE classid = 'pg_class'::regclass AND objid = m.relid AND deptype = 'e') AS is_extension_member,
       m.ref_relid::bigint AS ref_relid,
       rn.nspname AS ref_schemaname,
       r.relname AS ref_relname,
       ra.attname AS ref_attname,
       format_type(ra.atttypid, NULL) AS ref_data_type,
       s.oid::bigint AS sequence_relid,
       sn.nspname AS sequence_schemaname,
       s.relname AS sequencename,
       m.readable,
       m.locked,
       m.last_value,
       m.greatest_value,
       CASE WHEN q.seqincrement < 0 THEN -m.limit_value - 1 ELSE m.limit_value END AS limit_value,
       CASE WHEN m.was_read OR m.greatest_value IS NOT NULL
            THEN round(greatest(100.0 * coalesce(m.last_value, m.greatest_value) / m.limit_value
                                  * CASE WHEN q.seqincrement < 0 THEN -1 ELSE 1 END, 0), 2)
       END AS used_percent,
       EXISTS (SELECT FROM pg_partitioned_table WHERE partrelid = m.relid AND m.attnum = ANY (partattrs)) AS is_partition_key,
       m.reltuples,
       greatest(c.relpages, 0) * current_setting('block_size')::bigint AS size_bytes,
       g.count AS referencing_count,
       g.columns AS referencing
  FROM measured m
  JOIN pg_class c ON c.oid = m.relid
  LEFT JOIN referencing g ON g.relid = m.relid AND g.attnum = m.attnum
  LEFT JOIN pg_class r ON r.oid = m.ref_relid
  LEFT JOIN pg_namespace rn ON rn.oid = r.relnamespace
  LEFT JOIN pg_attribute ra ON ra.attrelid = m.ref_relid AND ra.attnum = m.ref_attnum
  LEFT JOIN pg_class s ON s.oid = m.sequence
  LEFT JOIN pg_sequence q ON q.seqrelid = m.sequence
  LEFT JOIN pg_namespace sn ON sn.oid = s.relnamespace
 ORDER BY used_percent DESC NULLS LAST, m.fill DESC NULLS LAST, relid, m.attname
