"""A login that the program shows itself, in two steps: begin, then wait for the person.

python two_step_login.py http://127.0.0.1:8088
"""

import sys

import flyte_auth


def main(endpoint: str) -> None:
    with flyte_auth.Session.for_endpoint(endpoint) as session:
        pending = session.begin_login(flow="device")
        if pending is None:
            print(f"{session.endpoint} has no auth")
            return
        # The end of the block ends a login that did not finish.
        with pending:
            print(f"open {pending.url} and enter {pending.user_code}", flush=True)
            pending.finish()
        user = session.whoami()
        print(f"signed in as {user['email'] or user['subject']}")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except flyte_auth.FlyteAuthError as error:
        sys.exit(f"two_step_login: {error}")
