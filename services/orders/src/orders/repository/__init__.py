"""The only SQL of this service: `catalog` for products and their stock, `orders` for orders and their keys."""
