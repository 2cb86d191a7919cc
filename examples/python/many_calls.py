"""Many calls at once in one event loop, with httpx: they share one login, and one refresh when it is due.

python many_calls.py http://127.0.0.1:8088
"""

import asyncio
import sys

import flyte_auth
import flyte_auth.httpx
import httpx


async def main(endpoint: str) -> None:
    async with flyte_auth.Session.for_endpoint(endpoint) as session:
        auth = flyte_auth.httpx.FlyteAuth(session)
        async with httpx.AsyncClient(auth=auth, base_url=endpoint) as flyte:
            answers = await asyncio.gather(*(flyte.get("/me") for _ in range(20)))
    print(f"{sum(answer.is_success for answer in answers)} of {len(answers)} calls went through")


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1]))
    except flyte_auth.FlyteAuthError as error:
        sys.exit(f"many_calls: {error}")
