-- source: pg_stat_statements (postgresql.org/docs/current/pgstatstatements.html)
-- scope: database
-- rows: many, as many as asked for by total_exec_time_ms
-- needs: pg_stat_statements, pg_monitor
-- variables: pgss_schema, databases, limit, texts, own, told (as in queries.sql), query_text, tokens, secrets
--
-- psql -v pgss_schema=public -v databases={5} -v limit=20 -v texts=true -v own={} -v told={} -v query_text=none -v tokens= -v secrets= -f top_queries.sql
-- Constants in utility statements are not normalised: the text is cut and masked as in activity.sql.
WITH given AS MATERIALIZED (
    SELECT :'databases'::oid[] AS databases, :'texts'::bool AS texts, :'own'::text[] AS own, :'told'::text[] AS told
), wanted AS MATERIALIZED (
    SELECT dbid, number FROM given, unnest(databases) WITH ORDINALITY AS w (dbid, number)
), entry AS MATERIALIZED (
    SELECT * FROM :"pgss_schema".pg_stat_statements(false)
), wording AS MATERIALIZED (
    SELECT s.dbid,
           s.queryid,
           CASE WHEN octet_length(s.query) > 40000 THEN left(s.query, 10000) ELSE s.query END AS query,
           left(s.query, 40) ~ '^((SELECT|EXPLAIN|BEGIN|COMMIT|ROLLBACK|DEALLOCATE) /[*] |PREPARE |EXECUTE )pgdoctor' AS is_own
      FROM :"pgss_schema".pg_stat_statements(true) s
     WHERE (SELECT texts FROM given)
       AND s.dbid IN (SELECT dbid FROM wanted)
       AND s.queryid IS NOT NULL
), own AS MATERIALIZED (
    SELECT dbid, queryid FROM wording GROUP BY dbid, queryid HAVING bool_and(is_own)
     UNION
    SELECT dbid, split_part(pair, '/', 2)::bigint
      FROM given, unnest(own) pair
      JOIN wanted ON number = split_part(pair, '/', 1)::int
), statement AS (
    SELECT dbid,
           queryid,
           sum(calls)::bigint AS calls,
           sum(total_exec_time) AS total_exec_time_ms,                                    -- [pg_stat_statements >= 1.8]
-- [pg_stat_statements < 1.8]           sum(total_time) AS total_exec_time_ms,
           sum(rows)::bigint AS rows
      FROM entry
     WHERE dbid IN (SELECT dbid FROM wanted)
       AND queryid IS NOT NULL
       AND (dbid, queryid) NOT IN (SELECT dbid, queryid FROM own)
     GROUP BY dbid, queryid
), placed AS (
    SELECT *, row_number() OVER (PARTITION BY dbid ORDER BY total_exec_time_ms DESC, queryid) AS place FROM statement
), chosen AS MATERIALIZED (
    SELECT * FROM placed WHERE place <= :'limit'::int
)
SELECT dbid::bigint,
       queryid::text AS fingerprint,
       CASE WHEN :'query_text' = 'none' THEN NULL
            WHEN :'query_text' = 'full' AND left(query, 10000) !~* :'secrets' THEN left(query, 10000)
            ELSE (SELECT string_agg(coalesce(token[1], left(token[2], 0) || '***', left(token[3], 0) || ' ', '''***'''), '')
                    FROM regexp_matches(left(query, 10000), :'tokens', 'g') AS token)
       END AS normalized_query,
       calls,
       round(total_exec_time_ms * 1000) / 1000 AS total_exec_time_ms,
       round(total_exec_time_ms / greatest(calls, 1) * 1000) / 1000 AS mean_exec_time_ms,
       rows
  FROM chosen
  LEFT JOIN (SELECT dbid, queryid, min(left(query, 10000) COLLATE "C") AS query
               FROM wording
              WHERE (dbid, queryid) IN (SELECT dbid, queryid FROM chosen)
              GROUP BY dbid, queryid) w USING (dbid, queryid)
 ORDER BY dbid, place
