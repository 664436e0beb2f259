"""An httpx transport for HTTP/1.1 calls between services, on the httptools parser."""
