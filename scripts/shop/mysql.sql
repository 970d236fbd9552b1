-- The shop of scripts/demo for MySQL and MariaDB: what a small business writes all day.
create database inventory character set utf8mb4;
use inventory;

create table customers (
    id         bigint auto_increment primary key,
    email      varchar(200) not null unique,
    name       varchar(200) not null,
    tags       set('seed', 'regular', 'wholesale') not null default '',
    created_at timestamp(6) not null default current_timestamp(6)
);

create table products (
    id         int primary key,
    sku        varchar(16) not null unique,
    name       varchar(200) not null,
    price      decimal(10, 2) not null,
    stock      int not null,
    attributes json
);

create table orders (
    id          bigint auto_increment primary key,
    customer_id bigint not null,
    status      enum('open', 'paid', 'shipped', 'returned') not null default 'open',
    total       decimal(12, 2) not null default 0,
    placed_at   timestamp(6) not null default current_timestamp(6)
);

create table order_items (
    order_id   bigint not null,
    line       int not null,
    product_id int not null,
    quantity   int not null,
    price      decimal(10, 2) not null,
    primary key (order_id, line)
);

insert into customers (email, name, tags)
with recursive i (i) as (select 1 union all select i + 1 from i where i < 500)
select concat('customer', i, '@example.org'), concat('Customer ', i), 'seed' from i;

insert into products
with recursive i (i) as (select 1 union all select i + 1 from i where i < 200)
select i, concat('SKU-', lpad(i, 6, '0')), concat('Product ', i), 1 + i % 90 + 0.99, 100000,
       json_object('colour', elt(1 + i % 3, 'red', 'green', 'blue'), 'weight', i % 20)
from i;
