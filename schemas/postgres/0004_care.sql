-- What is known of unclean ends (rule J5). Applied once, in order, by `tidemill migrate`; never edit an applied file.

-- Partitions that were found claimed by a process that never released them: their next records are taken with care until it
-- is known that none of them ended it. No row in quiet times.
CREATE TABLE tidemill.attempt (
    current    bigint,
    exits      integer     NOT NULL DEFAULT 1,
    tries      integer     NOT NULL DEFAULT 0,
    blamed     bigint,
    noted      bigint,
    counted    integer     NOT NULL DEFAULT 0,
    partition  integer     NOT NULL,
    source     smallint    NOT NULL REFERENCES tidemill.source (id),
    since      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, partition)
);
COMMENT ON COLUMN tidemill.attempt.exits IS 'Unclean ends of owners since care began';
COMMENT ON COLUMN tidemill.attempt.blamed IS 'Epoch of the owner that is believed to have ended last; it takes that back by releasing late';
COMMENT ON COLUMN tidemill.attempt.noted IS 'Epoch of the owner that noted the current record; only its end is a try';
COMMENT ON COLUMN tidemill.attempt.counted IS '1: the end of the blamed owner was counted as a try';
COMMENT ON COLUMN tidemill.attempt.current IS 'Offset of the one record that is being processed alone';
COMMENT ON COLUMN tidemill.attempt.tries IS 'Unclean ends while that record was the current one';
