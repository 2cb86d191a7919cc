// Pins the JSON Web vectors of Wycheproof, which no crate and no npm package has. scripts/setup.sh copies them to
// vectors/; there is no Go code here.
module flyteorg.invalid/flyte-auth/tests/vectors

go 1.21

require github.com/c2sp/wycheproof v0.0.0-20260902155932-3fa63dd0344a
