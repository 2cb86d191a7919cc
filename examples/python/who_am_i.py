"""Who am I? A whole program that uses the machine's Flyte login, with requests.

    flyte-auth login http://127.0.0.1:8088      # once, for every tool on this machine
    python who_am_i.py http://127.0.0.1:8088

Machine credentials work too: FLYTE_AUTH_CLIENT_ID and FLYTE_AUTH_CLIENT_SECRET.
"""

import sys

import flyte_auth
import flyte_auth.requests
import requests


def main(endpoint: str) -> None:
    session = flyte_auth.Session.for_endpoint(endpoint)

    # The header for one call, fresh each time you ask.
    answer = requests.get(f"{endpoint}/me", headers=session.headers(), timeout=10)
    print(f"/me answered {answer.status_code}")

    # For many calls: also sends a request once more after 401, and shows the token to no other host.
    flyte = requests.Session()
    flyte.auth = flyte_auth.requests.FlyteAuth(session)
    print(f"signed in as {flyte.get(f'{endpoint}/me', timeout=10).json()['subject']}")
    try:
        flyte.get("https://elsewhere.example/", timeout=10)
    except flyte_auth.ConfigError as error:
        print(f"elsewhere: {error.code}")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except flyte_auth.FlyteAuthError as error:
        sys.exit(f"who_am_i: {error}")
