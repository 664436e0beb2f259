"""Making reports: orders says what is wanted and gives the orders page by page, a file comes into the object store.

Read in this order: `schemas` (what orders says, and the jobs) → `client` (how it is asked) → `maker` (the work) →
`documents` (what a file is made of: `csv_file`, `pdf_file` over `summary`) → `files` (how it comes to its place).
"""
