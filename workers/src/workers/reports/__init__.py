"""Reports. A job reads orders page by page from the orders service, and writes a CSV or PDF file to the object store.

Read in this order: `schemas` → `client` (orders' API) → `generator` (the job) → `documents` (`csv_file`, and `pdf_file`
with `summary`) → `files` (the object store).
"""
