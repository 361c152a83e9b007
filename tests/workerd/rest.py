"""A client of Cloudflare's API that neither retries nor judges, to ask the harness itself."""

from typing import Any, Self

import httpx

from tests.workerd.cloudflare import Cloudflare, Stage


class Rest:
    """The API of one stage, with one token."""

    def __init__(self, running: Cloudflare, stage: Stage, *, token: str | None = None) -> None:
        self.stage = stage
        self._client = httpx.AsyncClient(
            base_url=f"{running.base_url}/accounts/{stage.account}/",
            headers={"Authorization": f"Bearer {token or running.tokens.token}"},
            timeout=60,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.aclose()

    async def query(self, body: object) -> httpx.Response:
        return await self._client.post(f"d1/database/{self.stage.database}/query", json=body)

    async def sql(self, sql: str, *params: object) -> list[dict[str, Any]]:
        """Return the rows of the last statement."""
        answer = await self.query({"sql": sql, "params": params})
        assert answer.status_code == httpx.codes.OK, answer.text
        rows: list[dict[str, Any]] = answer.json()["result"][-1]["results"]
        return rows

    async def push(self, queue: str, *bodies: object) -> httpx.Response:
        """Send messages of JSON."""
        messages = [{"body": body, "content_type": "json"} for body in bodies]
        return await self.post(f"queues/{queue}/messages/batch", {"messages": messages})

    async def post(self, path: str, body: object) -> httpx.Response:
        return await self._client.post(path, json=body)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self._client.get(path, headers=headers)


def error_of(answer: httpx.Response) -> tuple[int, int, str]:
    """Return status, code and message of an answer that holds one error."""
    body = answer.json()
    assert body["success"] is False
    [error] = body["errors"]
    return answer.status_code, error["code"], error["message"]
