-- What the daemon judges records by beside themselves. Applied once, in order, by `tidemill migrate`; never edit an applied file.

-- A person's word that records rejected for one cause are to become dead letters for a while, though they are a flood.
-- Rows are never deleted: they say who accepted what, and until when.
CREATE TABLE tidemill.acceptance (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    accepted_at  timestamptz NOT NULL DEFAULT now(),
    until        timestamptz NOT NULL,
    ended_at     timestamptz,
    source       smallint    NOT NULL REFERENCES tidemill.source (id),
    cause        text        NOT NULL,
    role         text        NOT NULL DEFAULT session_user,
    address      inet        DEFAULT inet_client_addr(),
    client       text        NOT NULL,
    ended_by     text,
    CHECK (until > accepted_at)
);
COMMENT ON COLUMN tidemill.acceptance.cause IS 'Stage and reason of the rejected records: decode/bad_json';
COMMENT ON COLUMN tidemill.acceptance.client IS 'User and host of the command, as the command says; role and address are the server''s word';
COMMENT ON COLUMN tidemill.acceptance.ended_at IS 'Taken back by hand before its time';

-- Partitions that were found claimed by a process that never released them: their next records are taken with care until it
-- is known that none of them ended it. No row in quiet times.
CREATE TABLE tidemill.attempt (
    current    bigint,
    exits      integer     NOT NULL DEFAULT 1,
    tries      integer     NOT NULL DEFAULT 0,
    blamed     bigint,
    partition  integer     NOT NULL,
    source     smallint    NOT NULL REFERENCES tidemill.source (id),
    since      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, partition)
);
COMMENT ON COLUMN tidemill.attempt.exits IS 'Unclean ends of owners since care began';
COMMENT ON COLUMN tidemill.attempt.blamed IS 'Epoch of the owner that is believed to have ended last; it takes that back by releasing late';
COMMENT ON COLUMN tidemill.attempt.current IS 'Offset of the one record that is being processed alone';
COMMENT ON COLUMN tidemill.attempt.tries IS 'Unclean ends while that record was the current one';
