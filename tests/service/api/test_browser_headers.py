"""No answer can be shown in a frame of another page, or be taken for another kind of file."""

import httpx
import pytest


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/docs", 200),
        ("/openapi.json", 200),
        ("/api/v1/healthz", 200),
        ("/api/v1/experiments", 200),
        ("/api/v1/nothing", 404),
        ("/api/v1/runs/%20", 422),
        ("/static/polar.css", 200),
        ("/", 200),
    ],
)
@pytest.mark.parametrize("token", [True, False], ids=["token", "stranger"])
async def test_every_answer_says_so(
    path: str, status: int, token: bool, http: httpx.AsyncClient
) -> None:
    answer = await http.get(path, headers={} if token else {"Authorization": ""})

    assert answer.status_code == status or (not token and answer.status_code == 401)
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
