"""What a reader chooses for themselves: the language, and (while nobody can sign in) who they are."""

from __future__ import annotations

from fastapi import APIRouter, Response
from starlette.responses import RedirectResponse

from gateway.i18n import LANGUAGES
from gateway.web.house import Form, Hall, inside

router = APIRouter()
YEAR = 31_536_000  # s


@router.post("/preferences", include_in_schema=False)
def choose(house: Hall, given: Form) -> Response:
    """Keep the choice in a cookie and go back to the page it was made on."""
    answer = RedirectResponse(inside(given.get("back", "/")), 303)
    allowed: dict[str, set[str]] = {"lang": set(LANGUAGES)}
    if house.door.unguarded():
        allowed["who"] = {"local", *house.site.people}
    for name, values in allowed.items():
        if given.get(name) in values:
            answer.set_cookie(name, given[name], max_age=YEAR, httponly=True, samesite="strict")
    return answer
