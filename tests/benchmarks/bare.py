"""The floor of refreshing: httpx alone. `python -m tests.benchmarks.bare URL REQUESTS AT_ONCE`.

Posts the same form and decodes the answers; prints the seconds that took, wall and processor.
"""

import asyncio
import sys
import time

import httpx


async def main(url: str, requests: int, at_once: int) -> None:
    """Ask so often, so many at once."""
    form = {"grant_type": "refresh_token", "client_id": "c", "client_secret": "s"}
    left = iter(range(requests))

    async def ask(client: httpx.AsyncClient) -> None:
        for number in left:
            answer = await client.post(url, data={**form, "refresh_token": f"rt-{number}"})
            assert answer.json()["access_token"]

    async with httpx.AsyncClient(trust_env=False) as client:
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(ask(client) for _ in range(at_once)))
        sys.stdout.write(f"{time.perf_counter() - wall} {time.process_time() - cpu}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
