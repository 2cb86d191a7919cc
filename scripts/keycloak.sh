#!/usr/bin/env bash
# `serve` against Keycloak, which is too large for every run: fetches it from Maven Central (177 MB) and runs the suite.
set -euo pipefail
cd "$(dirname "$0")/.."

version=26.7.3
folder=target/keycloak
home=$folder/keycloak-$version
if [ ! -x "$home/bin/kc.sh" ]; then
  command -v mvn > /dev/null || { echo "keycloak: mvn is missing (apt-get install maven)" >&2; exit 1; }
  echo "keycloak: fetching $version"
  mkdir -p "$folder"
  mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
    "-Dartifact=org.keycloak:keycloak-quarkus-dist:$version:zip" "-DoutputDirectory=$folder"
  python3 -m zipfile -e "$folder/keycloak-quarkus-dist-$version.zip" "$folder"
  chmod +x "$home"/bin/*.sh
fi
cargo build --workspace --bins --locked
KEYCLOAK_HOME=$PWD/$home exec .venv/bin/pytest -q tests/e2e/long_keycloak.py "$@"
