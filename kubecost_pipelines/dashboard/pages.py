"""Pages: the built dashboard, sent as it lies in the package."""

from functools import cache
from mimetypes import guess_type

from fastapi import APIRouter, Request
from fastapi.responses import Response

from kubecost_pipelines.api.answers import Answers
from kubecost_pipelines.api.errors import ApiError
from kubecost_pipelines.dashboard import STATIC


def page_routes() -> APIRouter:
    """Return the routes of `/` and of what it loads."""
    router, answers = APIRouter(include_in_schema=False), Answers()

    def file(request: Request, name: str, caching: str) -> Response:
        media_type = guess_type(name)[0] or "application/octet-stream"
        response = answers.answer(request, name, (STATIC / name).read_bytes, media_type)
        response.headers["Cache-Control"] = caching
        return response

    @router.get("/")
    def page(request: Request) -> Response:
        return file(request, "index.html", "no-cache")

    @router.get("/ui/assets/{name}")
    def built_file(request: Request, name: str) -> Response:
        if name not in _built_files():
            raise ApiError(404, f"no file {name[:80]}: the dashboard has been updated, load the page again.")
        # The name carries the hash of the content.
        return file(request, f"assets/{name}", "public, max-age=31536000, immutable")

    return router


@cache
def _built_files() -> frozenset[str]:
    return frozenset(path.name for path in (STATIC / "assets").iterdir())
