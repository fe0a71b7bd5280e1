-- Results over the inline limit, each stored once; the event of the call holds a stub with the reference.
-- result_id is the id of that event; a value put by a client has an id of its own.
CREATE TABLE noetl.result (
  execution_id bigint NOT NULL,
  result_id    bigint NOT NULL,
  name         text NOT NULL,
  store        text NOT NULL,
  bytes        bigint NOT NULL,
  sha256       text,
  data         json NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (execution_id, result_id)
);

-- Executions that others wait for: written with the transition that begins to wait, gone with the one that
-- goes on. What a server that died left undone is found here.
CREATE TABLE noetl.wait (
  execution_id       bigint NOT NULL,
  child_execution_id bigint NOT NULL,
  event_id           bigint NOT NULL,
  deadline           timestamptz,
  created_at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (execution_id, child_execution_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
