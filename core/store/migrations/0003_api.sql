-- Entries that were put away: not listed, not started, not found by path until they are restored.
ALTER TABLE noetl.catalog ADD COLUMN archived_at timestamptz;

-- Starts asked for under a key, so that the same one again finds the execution that it began.
-- The digest is of path and key: either may be longer than an index entry can be.
CREATE TABLE noetl.start_key (
  digest       bytea PRIMARY KEY,
  execution_id bigint NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX start_key_age ON noetl.start_key (created_at);

-- Batches of events sent under a key, with what was answered; `answer` is null while one is taken in.
CREATE TABLE noetl.event_batch (
  key         text PRIMARY KEY,
  request_id  bigint NOT NULL UNIQUE,
  body_digest bytea NOT NULL,
  events      integer NOT NULL,
  answer      json,
  created_at  timestamptz NOT NULL DEFAULT now(),
  begun_at    timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz
);
CREATE INDEX event_batch_age ON noetl.event_batch (created_at);

-- An event by its id alone. Events arrive in the order of their ids, so a few kilobytes do for millions.
CREATE INDEX event_by_id ON noetl.event USING brin (event_id) WITH (pages_per_range = 32, autosummarize = on);

-- Tokens and secrets kept for executions. execution_id is 0 for those of every execution.
CREATE TABLE noetl.keychain (
  catalog_id      bigint NOT NULL,
  name            text NOT NULL,
  scope_type      text NOT NULL CHECK (scope_type IN ('local', 'shared', 'global')),
  execution_id    bigint NOT NULL DEFAULT 0,
  credential_type text,
  cache_type      text NOT NULL,
  key_id          text NOT NULL,
  sealed          bytea NOT NULL,
  auto_renew      boolean NOT NULL DEFAULT false,
  expires_at      timestamptz,
  access_count    bigint NOT NULL DEFAULT 0,
  accessed_at     timestamptz,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (catalog_id, name, scope_type, execution_id)
);
CREATE INDEX keychain_expiry ON noetl.keychain (expires_at) WHERE expires_at IS NOT NULL;

-- How often a value of ctx was read by its name over the API. The values themselves are the events'.
CREATE TABLE noetl.vars_access (
  execution_id bigint NOT NULL,
  name         text NOT NULL,
  access_count bigint NOT NULL DEFAULT 1,
  accessed_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (execution_id, name)
);
