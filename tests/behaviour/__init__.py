"""Black-box behaviour of the broker over AMQP 0-9-1, frame by frame, checked against RabbitMQ as well."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.link", f"{__name__}.peer")
