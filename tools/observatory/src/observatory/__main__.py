"""`python -m observatory`: run until SIGTERM or Ctrl-C."""

from observatory.server import main

if __name__ == "__main__":
    main()
