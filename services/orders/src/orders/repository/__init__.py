"""The SQL of this service: products and their stock, orders with their keys, reports, and sales."""
