"""URLs of databases: what is one, and that a password in one is refused and never shown."""

from __future__ import annotations

import pytest

from leveret.cluster.errors import ClusterError
from leveret.cluster.url import DatabaseUrl, Host, parse

SECRET = "sEcr3t"


@pytest.mark.parametrize(
    ("url", "expected", "shown"),
    [
        (
            "postgresql://leveret@db.example.com:5433/shop?sslmode=verify-full&sslrootcert=/etc/ca.pem",
            DatabaseUrl(
                (Host("db.example.com", 5433),),
                "leveret",
                "shop",
                {"sslmode": "verify-full", "sslrootcert": "/etc/ca.pem"},
            ),
            "database 'shop' at db.example.com:5433",
        ),
        (
            "postgres://u@a:1,b,[::1]:3/d",
            DatabaseUrl((Host("a", 1), Host("b", 5432), Host("::1", 3)), "u", "d", {}),
            "database 'd' at a:1, b:5432, [::1]:3",
        ),
        (
            "postgresql:///d?host=a,b&port=7",
            DatabaseUrl((Host("a", 7), Host("b", 7)), "", "d", {}),
            "database 'd' at a:7, b:7",
        ),
        (
            "postgresql://a/d?hostaddr=10.0.0.1",
            DatabaseUrl((Host("a", 5432, "10.0.0.1"),), "", "d", {}),
            "database 'd' at a:5432",
        ),
        (
            "postgresql:///d?host=/run/postgresql&user=me%40server",
            DatabaseUrl((Host("/run/postgresql", 5432),), "me@server", "d", {}),
            "database 'd' at /run/postgresql:5432",
        ),
        ("postgresql://", DatabaseUrl((Host("", 5432),), "", "", {}), "the database at the local server"),
    ],
)
def test_urls(url: str, expected: DatabaseUrl, shown: str) -> None:
    assert parse(url) == expected
    assert str(expected) == shown


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{SECRET}@h/d",
        f"postgresql://u:{SECRET}@h1,h2/d",
        f"postgresql://u:1/{SECRET}@h/d",
        f"postgresql://u:a?{SECRET}@h/d",
        f"postgresql://u:a@{SECRET}@h/d",
        f"postgresql://:{SECRET}@h/d",
        f"postgresql://h/d?password={SECRET}",
        f"postgresql://h/d?sslmode=require&password={SECRET}",
        f"postgresql://h/d?pass%77ord={SECRET}",
        f"postgresql://h/d?sslpassword={SECRET}",
        f"postgresql://h/d?scram_client_key={SECRET}",
    ],
)
def test_a_password_is_refused(url: str) -> None:
    with pytest.raises(ClusterError, match="must not contain a password: put it into a file") as error:
        parse(url)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "not given as a URL of PostgreSQL"),
        ("amqp://guest@h", "not given as a URL of PostgreSQL"),
        (f"host=h password={SECRET}", "not given as a URL of PostgreSQL"),
        (f"h/d?password={SECRET}", "not given as a URL of PostgreSQL"),
        ("postgresql://[::1/d", "not given as a valid URL"),
        (f"postgresql://h/d?{SECRET}", "not given as a valid URL"),
        ("postgresql://h/d?colour=red", "the option 'colour', which PostgreSQL does not know"),
        (f"postgresql://u/{SECRET}@h/d", "an @ too many"),
        (f"postgresql://u@x{SECRET}@h/d", "an @ too many"),
        (f"postgresql://h:{SECRET}/d", "a port that is no number up to 65535"),
        ("postgresql://h:0/d", "a port that is no number up to 65535"),
        ("postgresql://h:65536/d", "a port that is no number up to 65535"),
        ("postgresql://h/d?host=a,b,c&port=1,2", "as many ports or addresses as hosts"),
        ("postgresql://h/d?user=%ff", "not UTF-8"),
        ("postgresql://h\udcff/d", "not UTF-8"),
    ],
)
def test_what_is_no_url_is_refused(url: str, reason: str) -> None:
    with pytest.raises(ClusterError, match=reason) as error:
        parse(url)
    assert SECRET not in str(error.value)
    assert "\n" not in str(error.value)
