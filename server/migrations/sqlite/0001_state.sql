-- Times are milliseconds since the epoch. Secrets are in no column: keys are digests (src/random.rs), records are JSON of
-- the types in src/state/records.rs. Each table has an index on when its rows lapse, so that pruning reads only those.

CREATE TABLE pending (
    id TEXT NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT;
CREATE INDEX pending_expires_at ON pending (expires_at);

CREATE TABLE codes (
    digest TEXT NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL,
    used INTEGER NOT NULL DEFAULT 0,
    record TEXT NOT NULL
) STRICT;
CREATE INDEX codes_expires_at ON codes (expires_at);

-- `answer` is null until the person has answered; `interval_seconds`, `polled_at` and it stand in place of the record's.
CREATE TABLE devices (
    digest TEXT NOT NULL PRIMARY KEY,
    user_code TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    answer TEXT,
    interval_seconds INTEGER NOT NULL,
    polled_at INTEGER,
    record TEXT NOT NULL
) STRICT;
CREATE INDEX devices_user_code ON devices (user_code, expires_at);
CREATE INDEX devices_expires_at ON devices (expires_at);

-- One row for each refresh token; those of one session are a family.
CREATE TABLE refresh (
    digest TEXT NOT NULL PRIMARY KEY,
    session TEXT NOT NULL,
    access_token_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    dead INTEGER NOT NULL DEFAULT 0,
    replaced INTEGER NOT NULL DEFAULT 0,
    grant_record TEXT NOT NULL
) STRICT;
-- Only the few that are alive: a family that was refreshed for months has thousands of dead ones.
CREATE INDEX refresh_alive ON refresh (session) WHERE dead = 0;
CREATE INDEX refresh_session ON refresh (session);
CREATE INDEX refresh_access_token_id ON refresh (access_token_id);
CREATE INDEX refresh_expires_at ON refresh (expires_at);

-- Sessions and `jti` whose tokens no longer pass, until the last of them has lapsed.
CREATE TABLE revoked (
    id TEXT NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX revoked_expires_at ON revoked (expires_at);

-- What may be used once, until then.
CREATE TABLE used (
    id TEXT NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX used_expires_at ON used (expires_at);

-- Browser sessions, sealed with a key that is not in this file.
CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    outcome TEXT NOT NULL,
    client_id TEXT,
    subject TEXT,
    session TEXT,
    peer TEXT,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX audit_at ON audit (at);
