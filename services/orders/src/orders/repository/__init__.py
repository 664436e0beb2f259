"""The only SQL of this service: `catalog` for products and their stock, `orders` with their keys, `reports`."""
