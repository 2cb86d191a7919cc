#!/usr/bin/env bash
# Shows the main job on the embedded sandbox: a person signs in, then a CI job, and each makes an authorised call.
#
# Needs nothing but what scripts/setup.sh sees to; touches nothing outside a scratch folder; leaves no process behind.
set -euo pipefail
cd "$(dirname "$0")/.."

flyte_auth=${FLYTE_AUTH_BIN:-$PWD/target/debug/flyte-auth}
scratch=$(mktemp -d)
sandbox_pid=

finish() {
  local code=$?
  # Closing its stdin is what ends the sandbox; the kill is for the case that it does not listen to that.
  { exec 7>&-; } 2> /dev/null || true
  if [ -n "$sandbox_pid" ]; then
    for _ in $(seq 50); do kill -0 "$sandbox_pid" 2> /dev/null || break; sleep 0.1; done
    kill "$sandbox_pid" 2> /dev/null || true
    wait "$sandbox_pid" 2> /dev/null || true
  fi
  if [ $code != 0 ]; then
    echo
    echo "demo: failed (exit code $code)" >&2
    if [ -s "$scratch/sandbox.log" ]; then echo "--- the sandbox said:" >&2; tail -n 20 "$scratch/sandbox.log" >&2; fi
  fi
  rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m')
else bold='' dim='' plain=''; fi

number=0
step() {
  number=$((number + 1))
  printf '\n%s%d. %s%s\n' "$bold" "$number" "$1" "$plain"
  shift
  for line in "$@"; do printf '   %s%s%s\n' "$dim" "$line" "$plain"; done
}

# A token is a credential: a transcript shows that it is there, not what it is.
mask() { sed -E 's/eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+/eyJ…(a token, masked)/g'; }

# Shows a command line as a person would type it, runs it, shows what it prints; fails as it fails.
show() {
  local typed=$1
  shift
  printf '\n   $ %s\n' "$typed"
  local code=0
  "$@" > "$scratch/output" 2>&1 < /dev/null || code=$?
  mask < "$scratch/output" | sed 's/^/   | /'
  [ $code = 0 ] || { echo "   exit code $code"; exit $code; }
}

member() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]] or "")' "$scratch/ready.json" "$1"; }

if [ -z "${FLYTE_AUTH_BIN:-}" ]; then
  echo "Building flyte-auth (the first time takes a few minutes) ..."
  cargo build --quiet --locked --bin flyte-auth
fi

# A home of its own: no setting and no session of this machine takes part, and none is left on it.
mkdir -p "$scratch/home" "$scratch/state"
for name in $(compgen -e); do
  case $name in FLYTE*|_FLYTE*|UCTL_CONFIG|*_proxy|*_PROXY) unset "$name" ;; esac
done
export HOME=$scratch/home FLYTE_AUTH_HOME=$scratch/state XDG_CONFIG_HOME=$scratch/home/.config NO_PROXY=127.0.0.1,localhost

step "Start a Flyte deployment's authentication, in miniature" \
  "The sandbox is an authorization server and a protected Flyte API on loopback. It stands in for" \
  "your company's Flyte; no account, no network and no container is needed." \
  "--auto-approve plays the person who clicks 'sign in' on the page."
printf '\n   $ flyte-auth sandbox --auto-approve alice@example.org\n'
mkfifo "$scratch/stdin"
"$flyte_auth" sandbox --http-port 0 --grpc-port 0 --auto-approve alice@example.org --exit-with-stdin \
  < "$scratch/stdin" > "$scratch/ready.json" 2> "$scratch/sandbox.log" &
sandbox_pid=$!
exec 7> "$scratch/stdin"
for _ in $(seq 100); do
  [ -s "$scratch/ready.json" ] && break
  kill -0 "$sandbox_pid" 2> /dev/null || { echo "   it did not start"; exit 1; }
  sleep 0.1
done
endpoint=$(member http)
echo "   | ready at $endpoint"

step "A person signs in" \
  "Authorization code with PKCE: flyte-auth opens a browser at the sign-in page and waits on" \
  "http://localhost:53593/callback. The browser here is a script that follows the redirects."
cat > "$scratch/browser" <<'BROWSER'
#!/bin/sh
curl --silent --location --noproxy '*' --max-time 20 --output /dev/null "$1" &
BROWSER
chmod +x "$scratch/browser"
# A demonstration may run where there is no terminal (CI); a person's own login needs no such flag.
show "flyte-auth login $endpoint" \
  env BROWSER="$scratch/browser" "$flyte_auth" login "$endpoint" --flow pkce --interactive always

step "What is there now" "One session, kept where every tool on this machine finds it, refreshed before it expires."
show "flyte-auth status --endpoint $endpoint" "$flyte_auth" status --endpoint "$endpoint"

step "Use it" \
  "'token' prints the token and nothing else: this is the line that pyflyte, flyte and flytectl run." \
  "'whoami' is a real, authorised call to the Flyte API."
show "flyte-auth token --endpoint $endpoint" "$flyte_auth" token --endpoint "$endpoint"
show "flyte-auth whoami --endpoint $endpoint" "$flyte_auth" whoami --endpoint "$endpoint"
show "flyte-auth header --endpoint $endpoint | curl -H @- $endpoint/me" \
  bash -o pipefail -c '"$0" header --endpoint "$1" | curl --silent --fail --noproxy "*" -H @- "$1/me"; echo' "$flyte_auth" "$endpoint"

step "A CI job signs in" \
  "Client credentials: an id and a secret from the environment, no browser, no person, no waiting for one."
job=(env CI=1 FLYTE_AUTH_TYPE=ClientSecret FLYTE_CREDENTIALS_CLIENT_ID=flytepropeller FLYTE_CREDENTIALS_CLIENT_SECRET=foobar)
printf '\n   $ export FLYTE_AUTH_TYPE=ClientSecret FLYTE_CREDENTIALS_CLIENT_ID=flytepropeller FLYTE_CREDENTIALS_CLIENT_SECRET=***\n'
show "flyte-auth token --endpoint $endpoint" "${job[@]}" "$flyte_auth" token --endpoint "$endpoint"
show "flyte-auth whoami --endpoint $endpoint" "${job[@]}" "$flyte_auth" whoami --endpoint "$endpoint"

step "Sign out" "The session is gone from this machine, and the authorization server has revoked it."
show "flyte-auth logout $endpoint --revoke" "$flyte_auth" logout "$endpoint" --revoke

step "Your own Flyte" "The same with your endpoint; 'configure' prints the block that makes pyflyte, flyte and flytectl use it."
printf '\n   $ flyte-auth login flyte.example.com\n   $ flyte-auth configure flyte.example.com --write\n'

echo
echo "demo: ok"
