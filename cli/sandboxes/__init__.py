"""Sandboxes that stay up while other commands use them."""
