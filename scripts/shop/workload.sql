-- One turn of the shop, run by pgbench: an order with two lines, then paid; now and then an old
-- order is sent back and deleted, a customer joins, a basket is abandoned.
\set customer random(1, 500)
\set product random(1, 200)
\set other random(1, 200)
\set quantity random(1, 5)
\set dice random(1, 10)
begin;
insert into inventory.orders (customer_id) values (:customer) returning id as order_id \gset
insert into inventory.order_items
select :order_id, line, p.id, :quantity, p.price
from (values (1, :product), (2, :other)) as wanted (line, product_id)
join inventory.products p on p.id = wanted.product_id;
update inventory.products set stock = stock - :quantity where id = least(:product, :other);
commit;
update inventory.orders o set status = 'paid',
    total = (select sum(quantity * price) from inventory.order_items i where i.order_id = o.id)
where id = :order_id;
\if :dice = 1
delete from inventory.orders
where id = (select min(id) from inventory.orders where id < :order_id - 50);
\elif :dice = 2
insert into inventory.customers (email, name)
values ('c' || :order_id || '@example.org', 'New customer ' || :order_id);
\elif :dice = 3
begin;
insert into inventory.orders (customer_id) values (:customer);
rollback;
\endif
