//! The Postgres adapter against a real server. Tests are named after the rules that they hold to.

#[path = "postgres/fixture.rs"]
mod fixture;
#[path = "support/postgres.rs"]
mod support;

#[path = "postgres/claims.rs"]
mod claims;
#[path = "postgres/schema.rs"]
mod schema;
#[path = "postgres/sqlstate.rs"]
mod sqlstate;
#[path = "postgres/storing.rs"]
mod storing;
#[path = "postgres/trouble.rs"]
mod trouble;
