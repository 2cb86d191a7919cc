"""Crash suite: SIGKILL at every step of refresh and save, in seeded runs. Whoever comes next gets a token; a login is
needed only where the server had already replaced the one refresh token and the killed process alone knew the new one.
What the processes record is replayed on the model of the protocol (tests/model), which must accept every run.

`CRASH_RUNS` (100) and `CRASH_SEED` (4): `make crash` runs 1,000.
"""

import os
import random
import statistics

import pytest
from harness.cli import Cli
from harness.crash import ANYTIME, BURNT_AT, Crashes, stop_points, table, window
from harness.herd import Place
from harness.peers import OidcProvider, Sandbox
from harness.scenes import ALICE
from harness.traces import judge

RUNS = int(os.environ.get("CRASH_RUNS", "100"))
SEED = int(os.environ.get("CRASH_SEED", "4"))


@pytest.mark.timeout(90 + RUNS)
def test_no_crash_loses_a_session(tmp_path, start):
    rotating = Place(start(Sandbox, "--auto-approve", ALICE, "--rotate-refresh-tokens"))
    keeping = Place(start(Sandbox, "--auto-approve", ALICE))
    other = Place(start(OidcProvider, OIDC_LOG="1"))
    scenes = [
        Crashes(Cli(tmp_path / "rotating"), rotating, "rotating", rotating=True),
        Crashes(Cli(tmp_path / "keeping"), keeping, "keeping", rotating=False),
        Crashes(Cli(tmp_path / "machine"), keeping, "client credentials", rotating=False, is_machine=True),
        Crashes(Cli(tmp_path / "oidc-provider"), other, "oidc-provider", rotating=True),
    ]
    points = stop_points()
    chance = random.Random(SEED)
    # Each point once for certain, then whatever the seed says.
    outcomes = [scenes[0].run(chance, point, plain=True) for point in points]
    while len(outcomes) < RUNS:
        point = chance.choice([*points, *points, ANYTIME, ANYTIME, ANYTIME])
        outcomes.append(chance.choice([scenes[0], *scenes]).run(chance, point))
    judged = judge([trace for scene in scenes for trace in scene.traces])
    lost = [outcome for outcome in outcomes if not outcome.went_on]
    undisturbed = Cli(tmp_path / "undisturbed")
    rotating.sign_in(undisturbed, is_expired=False)
    spans = window(undisturbed, rotating, 20)
    kills = sum(outcome.killed for outcome in outcomes)
    print(
        f"\ncrash: {len(outcomes)} runs, seed {SEED}, {kills} kills; a login was needed after {len(lost)}, each time "
        f"because the server had replaced the refresh token\n{table(outcomes, points)}\n"
        f"crash: the window in which that can happen, from the end of the exchange to the record in its place: "
        f"median {statistics.median(spans):.2f} ms, longest {spans[-1]:.2f} ms of {len(spans)} refreshes\n"
        f"crash: every run is a path of the model: {judged}"
    )
    assert {outcome.point for outcome in outcomes if outcome.killed} >= set(points)
    assert {(outcome.burnt, outcome.server in ("rotating", "oidc-provider")) for outcome in lost} <= {(True, True)}
    assert {outcome.point for outcome in lost} <= {*BURNT_AT, ANYTIME}
    for scene in scenes:
        assert len(scene.leftovers()) <= 2, "what a killed write leaves is removed by a later one"
