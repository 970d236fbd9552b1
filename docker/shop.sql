-- The shop of docker/compose.yaml, and one step of its life.

CREATE TABLE customers (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL,
    email      text UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE orders (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers ON DELETE CASCADE,
    total       numeric(10, 2) NOT NULL,
    status      text NOT NULL DEFAULT 'new',
    placed_at   timestamptz NOT NULL DEFAULT now()
);

INSERT INTO customers (name, email)
SELECT 'Customer ' || n, 'customer-' || n || '@example.org' FROM generate_series(1, 100) n;

-- Inserts an order, moves another on, and now and then deletes one.
CREATE FUNCTION shop_tick() RETURNS void LANGUAGE sql AS $$
    INSERT INTO orders (customer_id, total)
    SELECT id, round((random() * 500)::numeric, 2) FROM customers ORDER BY random() LIMIT 1;
    UPDATE orders SET status = 'paid'
    WHERE id = (SELECT id FROM orders WHERE status = 'new' ORDER BY random() LIMIT 1);
    DELETE FROM orders
    WHERE random() < 0.2 AND id = (SELECT min(id) FROM orders WHERE status = 'paid');
$$;
