-- A small warehouse, the demo's second database.
CREATE TABLE page_views (
    viewed_at timestamptz NOT NULL DEFAULT now(),
    visitor_id bigint NOT NULL,
    path text NOT NULL,
    duration_ms integer NOT NULL
);
CREATE TABLE visitors (
    visitor_id bigint PRIMARY KEY,
    country text NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO visitors (visitor_id, country)
SELECT n, (ARRAY['CH', 'DE', 'FR', 'IT', 'AT'])[1 + n % 5] FROM generate_series(1, 5000) AS n;
INSERT INTO page_views (viewed_at, visitor_id, path, duration_ms)
SELECT now() - n * interval '20 seconds', 1 + n % 5000, '/product/' || n % 1000, 50 + n % 900
  FROM generate_series(1, 120000) AS n;
CREATE INDEX page_views_viewed_at_idx ON page_views (viewed_at);
CREATE MATERIALIZED VIEW daily_views AS
SELECT viewed_at::date AS day, count(*) AS views FROM page_views GROUP BY 1;
CREATE UNIQUE INDEX daily_views_day_idx ON daily_views (day);
ANALYZE;
