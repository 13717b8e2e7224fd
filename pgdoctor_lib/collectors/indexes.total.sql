-- source: pg_index, pg_stat_all_indexes
-- scope: database
-- cadence: minutes
-- rows: one
-- needs: nothing
-- counters: idx_scan
-- about: Over all indexes, leaf partitions' among them.
--
-- | `count`, `size_bytes`, `idx_scan` | sums |
-- | `duplicate_count`, `duplicate_size_bytes` | those with a `duplicate_of`, as of the last VACUUM or ANALYZE; leaf partitions' only where they have no parent |
-- | `redundant_count`, `redundant_size_bytes` | those with a `redundant_to`, in the same way |
-- | `invalid_count`, `unused_count`, `unused_size_bytes` | those not valid; those not scanned since the statistics were reset, and their size |
WITH relation AS MATERIALIZED (
    SELECT oid,
           relam,
           relispartition,
           greatest(relpages, 0) * current_setting('block_size')::bigint AS size_bytes,
           pg_stat_get_numscans(oid) AS idx_scan
      FROM pg_class
     WHERE relkind IN ('i', 'I')
       AND relpersistence <> 't'
       AND relnamespace <> 'pg_toast'::regnamespace
       AND oid >= 16384
), plain AS MATERIALIZED (
    SELECT i.*,
           r.relam,
           r.relispartition,
           (indkey::int2[])[0:indnkeyatts - 1] AS keys,
           (indclass::oid[])[0:indnkeyatts - 1] AS classes,
           (indcollation::oid[])[0:indnkeyatts - 1] AS collations,
           (indoption::int2[])[0:indnkeyatts - 1] AS options,
           -- '{1,2}' where an index has some columns besides its key, '{}' where it has none
           (indkey::int2[])[indnkeyatts:indnatts - 1] AS included,
           coalesce(regexp_replace(indexprs::text, ' :location -?[0-9]+', '', 'g'), '()') AS expressions,
           coalesce(regexp_replace(indpred::text, ' :location -?[0-9]+', '', 'g'), '') AS condition,
           k.backs_constraint
      FROM relation r
      JOIN pg_index i ON i.indexrelid = r.oid
 CROSS JOIN LATERAL (SELECT indisprimary OR indisexclusion OR indisreplident OR
                            EXISTS (SELECT FROM pg_constraint WHERE conindid = r.oid)) k (backs_constraint)
     WHERE indrelid IN (SELECT indrelid FROM pg_index GROUP BY indrelid HAVING count(*) > 1)
       AND indislive
), duplicate AS MATERIALIZED (
    SELECT DISTINCT ON (a.indexrelid) a.indexrelid AS oid, b.indexrelid AS other
      FROM plain a
      JOIN plain b ON b.indrelid = a.indrelid
                  AND b.indkey[0] = a.indkey[0]
                  AND b.indexrelid <> a.indexrelid
     WHERE NOT a.relispartition
       AND b.indisvalid
       AND (a.relam, a.keys, a.classes, a.collations, a.options, a.included, a.expressions, a.condition)
         = (b.relam, b.keys, b.classes, b.collations, b.options, b.included, b.expressions, b.condition)
       AND a.indnullsnotdistinct = b.indnullsnotdistinct                                  -- [pg >= 15]
       AND (NOT a.indisunique OR b.indisunique)
       AND (NOT a.indimmediate OR b.indimmediate)
       AND (NOT a.indisexclusion OR b.indisexclusion)
       AND (b.indisprimary, b.backs_constraint, b.relispartition, b.indisunique, a.indexrelid)
         > (a.indisprimary, a.backs_constraint, a.relispartition, a.indisunique, b.indexrelid)
     ORDER BY a.indexrelid, b.indisprimary DESC, b.backs_constraint DESC, b.relispartition DESC, b.indisunique DESC, b.indexrelid
), redundant AS MATERIALIZED (
    SELECT DISTINCT ON (a.indexrelid) a.indexrelid AS oid, b.indexrelid AS other
      FROM plain a
      JOIN plain b ON b.indrelid = a.indrelid
                  AND b.indkey[0] = a.indkey[0]
                  AND b.indnkeyatts > a.indnkeyatts
     WHERE NOT a.relispartition
       AND NOT a.indisunique
       AND NOT a.backs_constraint
       AND b.indisvalid
       AND a.relam = b.relam
       AND a.relam = (SELECT oid FROM pg_am WHERE amname = 'btree')
       AND (a.keys, a.classes, a.collations, a.options, a.condition)
         = (b.keys[1:a.indnkeyatts], b.classes[1:a.indnkeyatts], b.collations[1:a.indnkeyatts],
            b.options[1:a.indnkeyatts], b.condition)
       AND starts_with(b.expressions, left(a.expressions, -1))
       AND a.included <@ b.indkey::int2[]
     ORDER BY a.indexrelid, b.indnkeyatts, b.indexrelid
)
SELECT count(*) AS count,
       coalesce(sum(size_bytes), 0)::bigint AS size_bytes,
       coalesce(sum(idx_scan), 0)::bigint AS idx_scan,
       (SELECT count(*) FROM relation JOIN pg_index ON indexrelid = oid WHERE NOT indisvalid) AS invalid_count,
       count(*) FILTER (WHERE idx_scan = 0) AS unused_count,
       coalesce(sum(size_bytes) FILTER (WHERE idx_scan = 0), 0)::bigint AS unused_size_bytes,
       (SELECT count(*) FROM duplicate) AS duplicate_count,
       (SELECT coalesce(sum(size_bytes), 0)::bigint FROM duplicate JOIN relation USING (oid)) AS duplicate_size_bytes,
       (SELECT count(*) FROM redundant) AS redundant_count,
       (SELECT coalesce(sum(size_bytes), 0)::bigint FROM redundant JOIN relation USING (oid)) AS redundant_size_bytes
  FROM relation
