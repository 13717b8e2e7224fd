-- source: pg_stat_statements (postgresql.org/docs/current/pgstatstatements.html)
-- scope: database
-- rows: many, as many as asked for by total_exec_time_ms
-- needs: pg_stat_statements, pg_monitor
-- variables: pgss_schema (where the extension is), dbid (pg_database.oid, or 0 for this one), limit, texts (true or false), query_text, tokens, secrets
--
-- queries.sql's rows need the same: top_queries.py has both read it once.
-- psql -v pgss_schema=public -v dbid=0 -v limit=20 -v texts=true -v query_text=none -v tokens= -v secrets= -f top_queries.sql
-- Constants in utility statements are not normalised: the text is cut and masked as in activity.sql.
-- Numbers first, texts only for those that may be shown: 50 more than asked for, since PGDoctor's own are left out.
WITH number AS MATERIALIZED (
    SELECT queryid,
           dbid,
           sum(calls)::bigint AS calls,
           sum(total_exec_time) AS total_exec_time_ms,                                    -- [pg_stat_statements >= 1.8]
-- [pg_stat_statements < 1.8]           sum(total_time) AS total_exec_time_ms,
           sum(rows)::bigint AS rows
      FROM :"pgss_schema".pg_stat_statements(false)
     WHERE dbid = CASE WHEN :'dbid'::oid <> 0 THEN :'dbid'::oid
                       ELSE (SELECT oid FROM pg_database WHERE datname = current_database()) END
       AND queryid IS NOT NULL
     GROUP BY queryid, dbid
     ORDER BY total_exec_time_ms DESC, queryid
     LIMIT :'limit'::int + 50
), statement AS MATERIALIZED (
    SELECT n.queryid, n.calls, n.total_exec_time_ms, n.rows, min(t.query COLLATE "C") AS query
      FROM number n
      LEFT JOIN :"pgss_schema".pg_stat_statements(:'texts') t ON t.queryid = n.queryid AND t.dbid = n.dbid
     WHERE t.query IS NULL OR t.query !~ '^(SELECT /[*] |EXPLAIN /[*] |PREPARE |EXECUTE )pgdoctor'
     GROUP BY n.queryid, n.calls, n.total_exec_time_ms, n.rows
     ORDER BY n.total_exec_time_ms DESC, n.queryid
     LIMIT :'limit'::int
)
SELECT queryid::text AS fingerprint,
       CASE WHEN :'query_text' = 'none' THEN NULL
            WHEN :'query_text' = 'full' AND left(query, 10000) !~* :'secrets' THEN left(query, 10000)
            ELSE (SELECT string_agg(coalesce(token[1], left(token[2], 0) || '***', left(token[3], 0) || ' ', '''***'''), '')
                    FROM regexp_matches(left(query, 10000), :'tokens', 'g') AS token)
       END AS normalized_query,
       calls,
       round(total_exec_time_ms::numeric, 3) AS total_exec_time_ms,
       round((total_exec_time_ms / greatest(calls, 1))::numeric, 3) AS mean_exec_time_ms,
       rows
  FROM statement
 ORDER BY statement.total_exec_time_ms DESC, queryid
