-- An online shop, the demo's first database, with some of what goes wrong in one.
CREATE TABLE customers (
    customer_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL UNIQUE,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE products (
    product_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    price numeric(10, 2) NOT NULL,
    stock integer NOT NULL
);
CREATE TABLE orders (
    order_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL,
    status text NOT NULL DEFAULT 'open',
    placed_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE order_items (
    order_id bigint NOT NULL,
    product_id bigint NOT NULL,
    quantity integer NOT NULL,
    PRIMARY KEY (order_id, product_id)
);
-- updated all the time, vacuumed late
CREATE TABLE carts (
    cart_id bigint PRIMARY KEY,
    customer_id bigint NOT NULL,
    content text NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_threshold = 50000);
-- grows all the time
CREATE TABLE events (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    happened_at timestamptz NOT NULL DEFAULT now(),
    kind text NOT NULL,
    detail text NOT NULL
);

INSERT INTO customers (email, name)
SELECT 'customer' || n || '@example.com', 'Customer ' || n FROM generate_series(1, 10000) AS n;
INSERT INTO products (name, price, stock)
SELECT 'Product ' || n, 1 + n % 200, 1000000 FROM generate_series(1, 1000) AS n;
INSERT INTO orders (customer_id, status, placed_at)
SELECT 1 + n % 10000, CASE WHEN n % 50 = 0 THEN 'open' ELSE 'sent' END, now() - n * interval '1 minute'
  FROM generate_series(1, 40000) AS n;
INSERT INTO order_items (order_id, product_id, quantity)
SELECT order_id, 1 + (order_id * 7 + line * 131) % 1000, 1 + line FROM orders, generate_series(0, 1) AS line;
INSERT INTO carts (cart_id, customer_id, content)
SELECT n, n, repeat('item ', 20) FROM generate_series(1, 5000) AS n;
INSERT INTO events (happened_at, kind, detail)
SELECT now() - n * interval '2 seconds', 'view', repeat('x', 400) FROM generate_series(1, 60000) AS n;

-- checked once for all rows, which is quicker; the one on product_id has no index
ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES customers;
ALTER TABLE order_items ADD FOREIGN KEY (order_id) REFERENCES orders;
ALTER TABLE order_items ADD FOREIGN KEY (product_id) REFERENCES products;

-- one index too many, and one that nothing uses
CREATE INDEX orders_customer_id_idx ON orders (customer_id);
CREATE INDEX orders_customer_idx ON orders (customer_id);
CREATE INDEX orders_status_placed_at_idx ON orders (status, placed_at);
CREATE INDEX carts_seen_at_idx ON carts (seen_at);
-- version 2 drops it, see workload.py
CREATE INDEX events_happened_at_idx ON events (happened_at);
ANALYZE;
