-- What operators change by hand, and what becomes of dead letters. Applied once, in order, by `tidemill migrate`; never edit
-- an applied file.

-- A topic that was deleted and made anew is another source under the same name: the old one is retired, its rows stay.
ALTER TABLE tidemill.source ADD COLUMN retired_at timestamptz;
ALTER TABLE tidemill.source DROP CONSTRAINT source_pipeline_cluster_id_topic_key;
CREATE UNIQUE INDEX source_current ON tidemill.source (pipeline, cluster_id, topic) WHERE retired_at IS NULL;
COMMENT ON COLUMN tidemill.source.retired_at IS 'The topic was deleted; another source stands for the new one of this name';

-- Every change by hand, in the transaction that made it. Nothing here is ever changed or deleted.
CREATE TABLE tidemill.operation (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT now(),
    role         text        NOT NULL DEFAULT session_user,
    address      inet        DEFAULT inet_client_addr(),
    client       text        NOT NULL,
    command      text        NOT NULL,
    reason       text        NOT NULL,
    pipeline     text        NOT NULL,
    source       smallint    NOT NULL REFERENCES tidemill.source (id),
    partition    integer,
    from_offset  bigint,
    to_offset    bigint,
    records      bigint,
    detail       text        NOT NULL DEFAULT ''
);
COMMENT ON COLUMN tidemill.operation.client IS 'User and host of the command, as the command says; role and address are the server''s word';
COMMENT ON COLUMN tidemill.operation.from_offset IS 'The mark before; null when there was none';
COMMENT ON COLUMN tidemill.operation.records IS 'Rows or dead letters that the command deleted or changed';

-- Offsets that an operator gave up: neither row nor dead letter, on purpose. From the first up to, without, the last number.
CREATE TABLE tidemill.hole (
    from_offset  bigint      NOT NULL,
    to_offset    bigint      NOT NULL,
    operation    bigint      NOT NULL REFERENCES tidemill.operation (id),
    partition    integer     NOT NULL,
    source       smallint    NOT NULL REFERENCES tidemill.source (id),
    PRIMARY KEY (source, partition, from_offset),
    CHECK (from_offset < to_offset)
);

ALTER TABLE tidemill.dead_letter
    ADD COLUMN attempts     integer NOT NULL DEFAULT 0,
    ADD COLUMN attempted_at timestamptz,
    ADD COLUMN closed_at    timestamptz,
    ADD COLUMN purged_at    timestamptz;
CREATE INDEX dead_letter_open ON tidemill.dead_letter (failed_at) WHERE state = 'open';
COMMENT ON COLUMN tidemill.dead_letter.state IS 'open; replayed: it became a row; skipped: a skip rule left it out in a replay; discarded: purged while open';
COMMENT ON COLUMN tidemill.dead_letter.attempts IS 'Replays that failed; stage, reason and detail are those of the last one';
COMMENT ON COLUMN tidemill.dead_letter.closed_at IS 'When it stopped being open';
COMMENT ON COLUMN tidemill.dead_letter.purged_at IS 'When key, payload and headers were dropped; the coordinates stay, so that every record is accounted for';
