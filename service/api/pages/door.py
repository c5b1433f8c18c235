"""The door of the pages: that of the API, but who is refused is answered by a page."""

from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError

from service.api.door import Door
from service.api.pages.rendering import page
from service.api.problems import STATUS_OF, Refused
from service.storage.errors import StorageError


class PageDoor(Door):
    """A route that shows a page to those who may read."""

    def get_route_handler(self) -> Any:  # noqa: ANN401
        handle = super().get_route_handler()

        async def show(request: Request) -> Response:
            try:
                answer: Response = await handle(request)
            except RequestValidationError as error:
                return await _refused_address(request, error)
            except Refused as refusal:
                return await page("problem.html", refusal.status, detail=str(refusal))
            except StorageError as error:
                return await page(
                    "problem.html", STATUS_OF.get(type(error), 500), detail=str(error)
                )
            return answer

        return show


async def _refused_address(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    place, *names = first["loc"]
    if place == "path":
        return await page("problem.html", 404, detail=f"there is nothing at {request.url.path}")
    detail = f"{' '.join(map(str, names))} in this address: {first['msg']}"
    if allowed := first.get("ctx", {}).get("allowed"):
        detail += f"; allowed: {allowed}"
    return await page("problem.html", 422, detail=detail)
