"""The door of the pages: that of the API, but who is refused is answered by a page."""

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from polar.spec.faults import find_faults
from service.api.door import Door
from service.api.links import LOGIN, PREFIX
from service.api.pages.rendering import page
from service.api.problems import STATUS_OF, Refused
from service.api.request_ids import HEADER
from service.api.schemas import Problem
from service.storage.errors import StorageError

#: Headers of the API's answer that the page in its place keeps.
KEPT = ("Allow", "WWW-Authenticate", HEADER)


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
                shown = await page("problem.html", refusal.status, detail=str(refusal))
                shown.headers.update(refusal.headers or {})
                return shown
            except StorageError as error:
                if type(error) not in STATUS_OF:  # a fault of ours, whose words help nobody
                    raise
                return await page("problem.html", STATUS_OF[type(error)], detail=str(error))
            return answer

        return show


def install(app: FastAPI) -> None:
    """Answer browsers with a page also where there is none, where the service or a login fails."""
    for kind in (HTTPException, Refused, Exception):
        answer: Any = app.exception_handlers[kind]
        app.exception_handler(kind)(partial(_page_or_problem, answer))


async def _page_or_problem(
    answer: Callable[[Request, Exception], Response], request: Request, error: Exception
) -> Response:
    problem = answer(request, error)
    path = request.url.path
    is_of_api = f"{path}/".startswith(f"{PREFIX}/") and path != LOGIN
    if is_of_api or "text/html" not in request.headers.get("accept", ""):
        return problem
    detail = Problem.model_validate_json(bytes(problem.body)).detail
    shown = await page("problem.html", problem.status_code, detail=detail)
    shown.headers.update({name: problem.headers[name] for name in KEPT if name in problem.headers})
    return shown


async def _refused_address(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    place, *names = first["loc"]
    if place == "path":
        return await page("problem.html", 404, detail=f"there is nothing at {request.url.path}")
    (fault,) = find_faults([first], {})  # no document describes the addresses of pages
    most = first.get("ctx", {}).get("max_length")
    allowed = fault.allowed or (f"at most {most}" if most is not None else None)
    # what the API calls a pointer is here the name of a parameter
    said = fault.model_copy(update={"pointer": f"{names[0]} in this address", "allowed": allowed})
    return await page("problem.html", 422, detail=str(said))
