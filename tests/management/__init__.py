"""Tests of administration, on brokers without sockets and without disks."""
