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
