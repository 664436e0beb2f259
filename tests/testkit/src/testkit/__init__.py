"""Real servers, apps on free ports, tokens and captured spans for tests; see README.md beside src/."""
