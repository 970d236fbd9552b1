-- The shop of scripts/demo: what a small business writes all day.
create schema inventory;
set search_path = inventory;

create type order_status as enum ('open', 'paid', 'shipped', 'returned');

create table customers (
    id         bigint generated always as identity primary key,
    email      text not null unique,
    name       text not null,
    tags       text[] not null default '{}',
    created_at timestamptz not null default now()
);

create table products (
    id         integer primary key,
    sku        varchar(16) not null unique,
    name       text not null,
    price      numeric(10, 2) not null,
    stock      integer not null,
    attributes jsonb
);

create table orders (
    id          bigint generated always as identity primary key,
    customer_id bigint not null references customers,
    status      order_status not null default 'open',
    total       numeric(12, 2) not null default 0,
    placed_at   timestamptz not null default now()
);
-- Deletes then carry the whole old row, not the key alone.
alter table orders replica identity full;

create table order_items (
    order_id   bigint not null references orders on delete cascade,
    line       integer not null,
    product_id integer not null references products,
    quantity   integer not null,
    price      numeric(10, 2) not null,
    primary key (order_id, line)
);

insert into customers (email, name, tags)
select 'customer' || i || '@example.org', 'Customer ' || i, array['seed', 'group ' || i % 5]
from generate_series(1, 500) i;

insert into products
select i, 'SKU-' || lpad(i::text, 6, '0'), 'Product ' || i, 1 + i % 90 + 0.99, 100000,
       jsonb_build_object('colour', (array['red', 'green', 'blue'])[1 + i % 3], 'weight', i % 20)
from generate_series(1, 200) i;
