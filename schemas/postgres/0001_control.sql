-- Control tables of Tidemill. Applied once, in order, by `tidemill migrate`; never edit an applied file.

-- A topic as one pipeline reads it. Positions of two pipelines never meet.
CREATE TABLE tidemill.source (
    id          smallint    GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid         uuid        NOT NULL DEFAULT gen_random_uuid(),
    pipeline    text        NOT NULL,
    cluster_id  text        NOT NULL,
    topic       text        NOT NULL,
    topic_id    uuid,
    group_id    text        NOT NULL,
    partitions  integer     NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (pipeline, cluster_id, topic)
);
COMMENT ON COLUMN tidemill.source.cluster_id IS 'The broker''s own cluster id, never derived from a bootstrap list';
COMMENT ON COLUMN tidemill.source.partitions IS 'Partition count when the source was first seen; later partitions start at their beginning';

CREATE TABLE tidemill.model (
    id          smallint    GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text        NOT NULL,
    version     text        NOT NULL,
    digest      text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (name, version, digest)
);

-- The position of a partition and who may move it. No further index: updates must stay heap-only (HOT).
CREATE TABLE tidemill.progress (
    next_offset    bigint      NOT NULL,
    epoch          bigint      NOT NULL,
    stored         bigint      NOT NULL DEFAULT 0,
    dead_lettered  bigint      NOT NULL DEFAULT 0,
    skipped        bigint      NOT NULL DEFAULT 0,
    fingerprint    bigint,
    claimed_at     timestamptz NOT NULL DEFAULT now(),
    owner          uuid,
    partition      integer     NOT NULL,
    source         smallint    NOT NULL REFERENCES tidemill.source (id),
    PRIMARY KEY (source, partition)
) WITH (fillfactor = 50);
COMMENT ON COLUMN tidemill.progress.next_offset IS 'Every record below it is a row, a dead letter or a deliberate skip';
COMMENT ON COLUMN tidemill.progress.owner IS 'Random id of the process start that claimed it; null after a release';
COMMENT ON COLUMN tidemill.progress.fingerprint IS 'Hash of the last disposed record: tells a re-created topic from ours';

-- Records that cannot be processed. Nothing here can refuse data: integers, bytea, and short ASCII of our own.
CREATE TABLE tidemill.dead_letter (
    id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    "offset"        bigint      NOT NULL,
    timestamp_ms    bigint,
    failed_at       timestamptz NOT NULL DEFAULT now(),
    partition       integer     NOT NULL,
    source          smallint    NOT NULL,
    model           smallint    NOT NULL,
    state           text        NOT NULL DEFAULT 'open',
    stage           text        NOT NULL,
    reason          text        NOT NULL,
    detail          text        NOT NULL,
    key             bytea,
    payload         bytea,
    header_names    bytea[]     NOT NULL,
    header_values   bytea[]     NOT NULL,
    key_length      bigint,
    payload_length  bigint,
    headers_length  bigint      NOT NULL,
    key_sha256      bytea,
    payload_sha256  bytea,
    headers_sha256  bytea
);
CREATE INDEX dead_letter_place ON tidemill.dead_letter (source, partition, "offset");
COMMENT ON COLUMN tidemill.dead_letter.payload IS 'Original bytes; null for a tombstone; cut when payload_sha256 is set';
COMMENT ON COLUMN tidemill.dead_letter.state IS 'open, replayed or discarded';
