-- The result table of every contender. No index: nobody needs one here, and each contender would pay the same for it.
CREATE TABLE scored (
    topic smallint NOT NULL,
    partition int NOT NULL,
    kafka_offset bigint NOT NULL,
    key text,
    event_id text,
    event_time timestamptz,
    amount double precision,
    merchant text,
    score real
);
-- A run lasts seconds: a vacuum in one and not in another would be chance.
ALTER TABLE scored SET (autovacuum_enabled = false);
