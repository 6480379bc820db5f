"""Collect: response bytes -> items with stable ids, masked; and when to poll again. Pure."""
