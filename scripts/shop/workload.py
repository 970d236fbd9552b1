#!/usr/bin/env python3
"""The turns of the shop as SQL for the mysql or mariadb client, until nobody reads any more.

    workload.py [TURNS_A_SECOND]

An order with two lines, then paid; now and then an old order is sent back and deleted, a customer
joins, a basket is abandoned.
"""

import random
import sys
import time

rate = float(sys.argv[1]) if len(sys.argv) > 1 else 20
due = time.monotonic()
try:
    while True:
        product, other = random.sample(range(1, 201), 2)
        quantity, dice = random.randint(1, 5), random.randint(1, 10)
        turn = [
            "start transaction",
            f"insert into orders (customer_id) values ({random.randint(1, 500)})",
            "set @order = last_insert_id()",
            "insert into order_items select @order, line, p.id, "
            f"{quantity}, p.price from (select 1 line, {product} product_id union all "
            f"select 2, {other}) wanted join products p on p.id = wanted.product_id",
            f"update products set stock = stock - {quantity} where id = {min(product, other)}",
            "commit",
            "select sum(quantity * price) into @total from order_items where order_id = @order",
            "update orders set status = 'paid', total = @total where id = @order",
        ]
        if dice == 1:
            turn += [
                "select min(id) into @old from orders where id + 50 < @order",
                "delete from order_items where order_id = @old",
                "delete from orders where id = @old",
            ]
        elif dice == 2:
            turn += [
                "insert into customers (email, name) values "
                "(concat('c', @order, '@example.org'), concat('New customer ', @order))"
            ]
        elif dice == 3:
            turn += ["start transaction", "insert into orders (customer_id) values (1)", "rollback"]
        print(";\n".join(turn) + ";", flush=True)
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))
except (BrokenPipeError, KeyboardInterrupt):
    sys.stderr.close()
