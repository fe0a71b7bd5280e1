-- Everything that belongs to a run has execution_id in its key, so that the schema can be distributed by it.
-- Ids are time-ordered 63-bit numbers made by the servers (see store/ids.ts).

CREATE TABLE noetl.catalog (
  catalog_id  bigint PRIMARY KEY,
  path        text NOT NULL,
  version     integer NOT NULL,
  kind        text NOT NULL,
  content     text NOT NULL,
  payload     jsonb,
  meta        jsonb,
  created_at  timestamptz NOT NULL DEFAULT now(),
  UNIQUE (path, version)
);

-- One row a run. `state` is the small routing state; results, workload and large values live in events.
-- fillfactor leaves room on the page, so that the update of every step stays heap-only.
CREATE TABLE noetl.execution (
  execution_id        bigint PRIMARY KEY,
  catalog_id          bigint NOT NULL,
  path                text NOT NULL,
  version             integer NOT NULL,
  parent_execution_id bigint,
  status              text NOT NULL DEFAULT 'RUNNING'
                      CHECK (status IN ('RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED')),
  revision            integer NOT NULL DEFAULT 1,
  state               jsonb NOT NULL,
  error               jsonb,
  created_at          timestamptz NOT NULL DEFAULT now(),
  updated_at          timestamptz NOT NULL DEFAULT now(),
  finished_at         timestamptz
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX execution_running ON noetl.execution (execution_id) WHERE status = 'RUNNING';
CREATE INDEX execution_parent ON noetl.execution (parent_execution_id, execution_id)
  WHERE parent_execution_id IS NOT NULL;
CREATE INDEX execution_path ON noetl.execution (path, execution_id);

-- Append-only. event_id is time-ordered, hence the partitions are of time.
CREATE TABLE noetl.event (
  execution_id        bigint NOT NULL,
  event_id            bigint NOT NULL,
  created_at          timestamptz NOT NULL DEFAULT now(),
  event_type          text NOT NULL,
  node_id             bigint,
  node_name           text,
  node_type           text,
  status              text,
  duration            double precision,
  current_index       integer,
  worker_id           text,
  catalog_id          bigint,
  parent_event_id     bigint,
  parent_execution_id bigint,
  current_item        jsonb,
  context             jsonb,
  result              jsonb,
  meta                jsonb,
  error               jsonb,
  PRIMARY KEY (execution_id, event_id)
) PARTITION BY RANGE (event_id);

CREATE TABLE noetl.event_default PARTITION OF noetl.event DEFAULT;

-- The latest result of a step, as of any event.
CREATE INDEX event_step_result ON noetl.event (execution_id, node_name, event_id)
  WHERE event_type IN ('call.done', 'call.error', 'loop.done') AND current_index IS NULL;
-- The results of a loop's iterations, in order.
CREATE INDEX event_iteration ON noetl.event (execution_id, node_id, current_index)
  WHERE event_type IN ('call.done', 'call.error') AND current_index IS NOT NULL;

-- Ids that senders gave their events; the same id again changes nothing.
CREATE TABLE noetl.event_key (
  execution_id bigint NOT NULL,
  key          text NOT NULL,
  event_id     bigint NOT NULL,
  PRIMARY KEY (execution_id, key)
);

-- Live commands only; queue_id is the event_id of the command's command.issued event.
-- No index on anything that changes: claims and renewals stay heap-only updates.
CREATE TABLE noetl.queue (
  execution_id  bigint NOT NULL,
  queue_id      bigint NOT NULL,
  node_id       bigint NOT NULL,
  node_name     text NOT NULL,
  tool_kind     text NOT NULL,
  lane          text NOT NULL,
  pool          text NOT NULL DEFAULT '',
  status        text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'dead')),
  attempt       smallint NOT NULL DEFAULT 0,
  max_attempts  smallint NOT NULL DEFAULT 3,
  announcements smallint NOT NULL DEFAULT 1,
  worker_id     text,
  lease_token   uuid,
  lease_until   timestamptz,
  claimed_at    timestamptz,
  available_at  timestamptz NOT NULL DEFAULT now(),
  announced_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (execution_id, queue_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);

CREATE TABLE noetl.credential (
  credential_id bigint PRIMARY KEY,
  name          text NOT NULL UNIQUE,
  type          text NOT NULL,
  key_id        text NOT NULL,
  sealed        bytea NOT NULL,
  meta          jsonb,
  tags          jsonb,
  description   text,
  created_at    timestamptz NOT NULL DEFAULT now(),
  updated_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE noetl.worker (
  name        text PRIMARY KEY,
  runtime_id  bigint NOT NULL,
  runtime     text,
  status      text NOT NULL,
  capacity    integer,
  labels      jsonb,
  kinds       text[] NOT NULL DEFAULT '{}',
  meta        jsonb,
  heartbeat   timestamptz NOT NULL DEFAULT now(),
  created_at  timestamptz NOT NULL DEFAULT now(),
  updated_at  timestamptz NOT NULL DEFAULT now()
);

-- Each server start takes the next number; it goes into the ids it makes.
CREATE SEQUENCE noetl.server_number;
