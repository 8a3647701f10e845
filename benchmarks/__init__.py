"""Measurements that stay with the project: ``make bench``."""
