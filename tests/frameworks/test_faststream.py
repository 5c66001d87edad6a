"""examples/frameworks/faststream: orders, invoices, requests, and orders that are refused."""

from __future__ import annotations

import signal

from tests.clients.programs import Program, Programs

CUSTOMER = "frameworks/faststream/customer.py"


def start_shop(programs: Programs) -> Program:
    """Start one shop, and return when it consumes."""
    shop = programs.start_module("faststream", "run", "shop:app", folder="frameworks/faststream")
    shop.expect("FastStream app started successfully")
    return shop


def test_an_order_becomes_an_invoice_and_a_request_gets_its_reply(programs: Programs) -> None:
    shop = start_shop(programs)
    asked = programs.start(CUSTOMER, "stock", "pear")
    programs.run(CUSTOMER, "order", "apple", "3")
    assert programs.run(CUSTOMER, "invoices", "1").lines == ["Invoice: 3 apple, 1.20 €"]
    assert asked.exit_code() == 0, asked.transcript()
    assert asked.lines == ["In stock: 3 pear"]
    shop.signal(signal.SIGINT)
    assert shop.exit_code() == 0, shop.transcript()


def test_orders_with_errors_are_dead_letters(programs: Programs) -> None:
    shop = start_shop(programs)
    bad = [programs.start(CUSTOMER, "order", item, count) for item, count in [("pear", "0"), ("plum", "1")]]
    for order in bad:
        assert order.exit_code() == 0, order.transcript()
    programs.run(CUSTOMER, "order", "apple", "1")
    # The queue keeps its order, so with this invoice the other two orders are done with.
    assert programs.run(CUSTOMER, "invoices", "1").lines == ["Invoice: 1 apple, 0.40 €"]
    assert sorted(programs.run(CUSTOMER, "refused").lines) == [
        f"Refused: {{'item': '{item}', 'count': {count}, 'seconds': 0.0}}, rejected from faststream.orders"
        for item, count in [("pear", 0), ("plum", 1)]
    ]
    assert any("ValidationError" in line for line in shop.lines), shop.transcript()
    assert any("KeyError: 'plum'" in line for line in shop.lines), shop.transcript()


def test_the_order_of_a_killed_shop_goes_to_another(programs: Programs) -> None:
    first = start_shop(programs)
    # Nobody waits for the customer to end: a busy machine takes longer for that than the shop for the order.
    programs.start(CUSTOMER, "order", "apple", "3", "--seconds", "3")
    first.expect("Started: 3 apple")
    first.kill()
    second = programs.start_module("faststream", "run", "shop:app", folder="frameworks/faststream")
    second.expect("Started: 3 apple, redelivered")
    assert programs.run(CUSTOMER, "invoices", "1").lines == ["Invoice: 3 apple, 1.20 €"]
