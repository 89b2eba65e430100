//! What the Kafka adapter promises on any broker: the same tests on librdkafka's mock cluster and on Apache Kafka.
//!
//! A test file includes this folder with `#[macro_use] mod reading;`, makes a [`rig::Rig`] of its own kind and calls
//! `tests_with!`. Each test is named after the rule of the protocol that it shows.

#![allow(dead_code)]

pub mod asking;
pub mod claiming;
pub mod rig;
pub mod taking;

/// Makes the tests that all brokers share, with a function that takes a number of partitions and gives a rig.
macro_rules! tests_with {
    ($rig:path) => {
        tests_with! { $rig:
            claiming {
                c1_a_late_assign_reads_from_its_own_queues_at_the_given_offsets 12
                c2_an_owed_revoke_is_answered_with_what_was_assigned 12
                c2_an_owed_revoke_is_answered_with_nothing 12
                c2_closing_with_an_assign_owed_or_with_everything_assigned_takes_no_time 4
                c4_commits_carry_the_sources_mark_and_a_lost_row_parks 3
                w6_a_restart_does_not_answer_a_revoke_that_is_owed 2
            }
            taking {
                j2_a_fetch_outside_the_log_is_told_not_reset 1
                t3_a_queue_that_gets_something_wakes_and_is_ready 2
                t4_headers_come_with_every_kind_of_record 1
                t4_records_are_copied_as_they_are 1
                t6_an_end_from_before_a_rebalance_is_not_believed 2
                t6_the_end_of_a_partition_is_known_and_forgotten_by_a_restart 1
                take_respects_its_room 1
                w6_a_restart_drops_what_was_fetched_and_records_below_the_position 2
            }
            asking {
                a_sample_is_the_newest_records_and_joins_no_group 4
                the_scout_names_what_is_missing 4
            }
        }
    };
    ($rig:path: $($module:ident { $($name:ident $partitions:literal)* })*) => {
        $($(
            #[test]
            fn $name() {
                reading::$module::$name(&$rig($partitions));
            }
        )*)*
    };
}
