"""The page at `/`: where to go from here."""

from html import escape

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from gateway.dependencies import SettingsDep

router = APIRouter(include_in_schema=False)

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hopline</title>
<link rel="icon" href="data:,">
<style>body {{ font: 1rem/1.6 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem }}</style>
<h1>Hopline</h1>
<p>A small shop of services; this is its gateway.</p>
<ul>
<li><a href="/v2/docs">The API, to read and to try</a> (<a href="/v2/openapi.json">OpenAPI</a>);
<a href="/v1/docs">version 1</a> is going away</li>
<li><a href="/health/ready">How the services behind it are</a></li>
<li><a href="{traces}">Traces of what they did</a></li>
</ul>
</html>
"""


@router.get("/")
async def front_page(settings: SettingsDep) -> HTMLResponse:
    """Return links for a person."""
    return HTMLResponse(PAGE.format(traces=escape(str(settings.traces_url))))
