"""The browser application's routes. They are not part of the documented API and change together with the page.

- `page`: the page at `/` and its files, with their caching and the content security policy.
- `routes`: the page's configuration, and sessions. `sessions` keeps the refresh token in a cookie that scripts cannot
  read; `csrf` rejects requests of other sites, because browsers send the cookie by themselves.
- `development`: routes that only development has. `traces` reads a user's own traces from the trace backend. `otlp`
  bounds the spans and metrics of pages, and `telemetry` sends them to the OTLP receiver. `resilience` shows the limits
  and circuits of this process.
"""
