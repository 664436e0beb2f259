"""`python -m gateway.documents FOLDER`: write each version's OpenAPI document there, as it is served."""

import json
import sys
from pathlib import Path

from fastapi import FastAPI
from starlette.routing import Mount

from gateway.main import create_app
from gateway.settings import Settings

NOWHERE = "http://localhost"


def main(folder: Path) -> None:
    """Describe the code: nothing is opened, so that no setting matters."""
    settings = Settings.model_validate(
        {
            **dict.fromkeys(("users_url", "orders_url", "notifications_url", "jwks_url"), NOWHERE),
            "redis_url": "redis://localhost",
        }
    )
    for route in create_app(settings).routes:
        if isinstance(route, Mount) and isinstance(route.app, FastAPI):
            document = json.dumps(route.app.openapi(), indent=2, ensure_ascii=False)
            (folder / f"{route.app.version}.json").write_text(document, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
