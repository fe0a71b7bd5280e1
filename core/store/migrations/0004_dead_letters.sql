-- What repeating a command's tools does; one that is unsafe is not begun again by itself.
ALTER TABLE noetl.queue ADD COLUMN effect text NOT NULL DEFAULT 'idempotent'
  CHECK (effect IN ('pure', 'idempotent', 'keyed', 'unsafe'));

-- Commands that wait for a person. Their row stays in the queue with the status dead, so that their execution
-- stands where it stood; a letter is kept when its command has been retried, resolved or dropped.
CREATE TABLE noetl.dead_letter (
  execution_id  bigint NOT NULL,
  letter_id     bigint NOT NULL,
  queue_id      bigint NOT NULL,
  catalog_id    bigint NOT NULL,
  path          text NOT NULL,
  step          text NOT NULL,
  tool_kind     text NOT NULL,
  reason        text NOT NULL CHECK (reason IN ('attempts', 'in_doubt', 'error')),
  error         jsonb NOT NULL,
  fingerprint   text NOT NULL,
  attempts      integer NOT NULL,
  worker_id     text,
  trace_id      text,
  status        text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'retried', 'resolved', 'dropped')),
  created_at    timestamptz NOT NULL DEFAULT now(),
  settled_at    timestamptz,
  PRIMARY KEY (execution_id, letter_id)
);
CREATE INDEX dead_letter_open ON noetl.dead_letter (fingerprint, letter_id) WHERE status = 'open';
CREATE INDEX dead_letter_id ON noetl.dead_letter (letter_id);
