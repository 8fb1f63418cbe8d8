// Planted bugs: each takes one rule out of the engine, so that the tests and the simulator can be seen to miss it.
// Only a build with CHUTE_MUTANTS holds them (make mutants); everywhere else mutant() is the constant false. One is
// chosen when the program starts, by the environment's CHUTE_MUTANT=NAME or by select_mutant(); `list` prints all.
//
// Each line: its name, who must find it, the rule that it takes out. `sim`: the simulator and a unit test.
// `unit`: a unit test alone; it lies in a part that the simulator replaces, or another rule makes good for it.
#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>

// clang-format off
#define CHUTE_PLANTED_BUGS(bug) \
  /* invariants */ \
  bug(insert_before_save, sim, "1: no insert is sent before its plan is durable") \
  bug(insert_while_revoked, sim, "1: no insert is begun once the lane is being revoked") \
  bug(token_reused, sim, "2: each plan has a token of its own") \
  bug(new_token_on_replay, sim, "2: a plan that was loaded is sent under its token") \
  bug(slice_rebuilt_short, sim, "2: a token stands for the same rows") \
  bug(done_before_acknowledgement, sim, "3: next passes a slice only after its acknowledgement") \
  bug(dead_letters_forgotten, sim, "3: next passes a slice only after its dead letters") \
  bug(reread_from_next, sim, "4: a slice begins where the one before it ends") \
  bug(refused_save_accepted, sim, "5: after a refused save the lane sends nothing more") \
  bug(gap_is_loss, sim, "6: an offset without a record is a gap, not a loss") \
  bug(partition_left_out, sim, "6: a batch holds every partition of its lane") \
  bug(halving_loses_a_record, sim, "6: what is planned anew holds all the records of the plan before") \
  bug(oldest_is_dead_letter, unit, "what was rejected becomes the dead letter, and nothing else") \
  bug(rejected_record_dropped, sim, "6: a rejected record becomes a dead letter") \
  bug(bad_record_passed, unit, "6: on_bad_record: stop delivers nothing from the bad record on") \
  bug(two_attempts, sim, "7: one attempt is under way") \
  bug(gathers_without_bound, unit, "7: what a lane gathers has a bound") \
  bug(growth_ignored, unit, "7: what is asked for is counted as the memory that it becomes") \
  bug(builds_without_room, unit, "7: open plans are read again as memory allows") \
  bug(full_lane_rests, unit, "what a lane reads while its batch is on its way is asked for at once") \
  bug(halted_at_once, unit, "what is under way is done before a reader that halted is begun again") \
  bug(save_rests_for_ever, unit, "what was acknowledged is saved alone if no records come") \
  bug(record_without_bound, unit, "7: a record fits its store") \
  bug(slice_ends_with_its_chunk, sim, "8: a batch does not depend on how its records came grouped") \
  /* what may become of a plan */ \
  bug(dead_letters_before_rows, sim, "dead letters are sent after the rows were acknowledged") \
  bug(look_skipped, unit, "where something may have landed the table is looked at before a repetition") \
  bug(confirm_skipped, unit, "an acknowledged repetition counts once the table confirms it") \
  bug(good_until_ignored, sim, "a token is repeated only before good_until") \
  bug(window_count_ignored, unit, "a token is repeated only while half of the window in inserts is left") \
  bug(running_attempt_repeated, unit, "a batch is not sent again while an attempt is seen on the server") \
  bug(fingerprint_ignored, sim, "a token is repeated only with the same mapping and columns") \
  bug(old_word_sent_on, unit, "a repetition to a plain MergeTree asks again when it leaves long after the look") \
  bug(server_restart_ignored, sim, "a plain MergeTree's token is not repeated after a restart of its server") \
  bug(loaded_plan_is_clean, sim, "a plan that was loaded has an unanswered attempt") \
  bug(views_not_repeated, unit, "with dependent views or a quorum the batch is sent again though its rows are there") \
  bug(unplanned_not_waited_for, unit, "what at_least_once sent is waited for before exactly_once begins") \
  bug(unplanned_silence_counts, unit, "the wait for what at_least_once sent counts only while the servers answer") \
  bug(rows_in_part_believed, sim, "in a table with partitions a record has landed once all its rows are there") \
  bug(fill_in_part_believed, sim, "a fill stops where a record lacks some of its rows") \
  bug(fill_of_views_believed, unit, "a fill that may have failed halfway says nothing of what views have") \
  bug(first_trust_kept, unit, "what a table is trusted for is what it was said to be last") \
  bug(rejection_believed, sim, "a rejection halves only what cannot have landed") \
  bug(too_big_not_asked, sim, "too big again and again is halved only after the table was asked") \
  bug(changed_columns_replanned, sim, "with changed columns a plan that may have landed is a doubt") \
  bug(refused_dead_letter_halved, unit, "a dead letter that is refused is sent again, with growing rests") \
  bug(gone_record_waited_for, unit, "a dead letter whose record the log lost: the lane recovers, and says so") \
  bug(rejected_becomes_rows, sim, "a plan as something stays so") \
  bug(repetition_counts_while_revoked, unit, "while being revoked only a clean first attempt counts") \
  /* doubt, asking, fill */ \
  bug(wait_skipped, sim, "a plan is made anew only when no attempt can still be running") \
  bug(silence_counts, unit, "the wait counts only while the server answers") \
  bug(late_clock_believed, unit, "a restart ends only attempts that are older, however late the server told its time") \
  bug(running_query_ignored, sim, "the wait is not over while a query with the token runs") \
  bug(old_state_asked, sim, "the final question is put to a server that has all that was written")                          \
  bug(no_answer_is_none, sim, "no answer is not the answer that nothing is there") \
  bug(fill_counted, unit, "a fill is settled by its list, not by a count") \
  bug(control_skipped, unit, "nothing there is believed only if the same question finds what was done before") \
  bug(ever_not_kept, unit, "the record keeps whether anything was ever done") \
  bug(merged_batch_believed, unit, "a batch of which a merging table shows nothing is acknowledged again, alone") \
  bug(replacing_views_doubled, unit, "rows that replace themselves are sent twice only where no view sees them") \
  bug(merged_rows_believed, unit, "an engine that merges or drops rows cannot say that nothing is there") \
  bug(silent_table_asked, unit, "a table without provenance cannot settle a doubt") \
  bug(more_taken_for_all, unit, "more rows than records stop the lane") \
  bug(some_taken_for_all, sim, "a part of the rows is not all of them") \
  bug(small_record_too_big, unit, "a record is no dead letter because the server is short of memory") \
  bug(rejected_sent_for_ever, unit, "at_least_once halves what is rejected, or too big, again and again") \
  bug(old_count_believed, unit, "before a repetition the count of inserts is no older than some seconds") \
  bug(until_within_plan, unit, "an open plan that ends beyond --until-end is built and settled") \
  bug(blocked_lane_reads_on, unit, "on_bad_record: stop stops the lane, however much comes to its other partitions") \
  bug(fill_to_not_set, sim, "what is partly there is filled, not planned anew") \
  bug(fill_sends_all, sim, "a fill sends only what is missing") \
  bug(fill_without_asking, sim, "a fill asks before every send") \
  bug(fill_not_confirmed, unit, "a fill is confirmed, also at its first acknowledgement") \
  /* recovery */ \
  bug(error_is_no_record, sim, "an error is not the answer that there is no record") \
  bug(other_cluster_is_first_start, unit, "a pipeline that began on another Kafka cluster stops") \
  bug(lost_state_is_first_start, sim, "a lane that began and has no record stops") \
  bug(absence_believed_at_once, sim, "that a record is gone is read twice") \
  bug(older_version_accepted, unit, "within a lineage no version is older than one already known") \
  bug(noted_version_ignored, unit, "with another store than kafka the group's offsets say what was saved last") \
  bug(noted_lane_is_new, unit, "a lane that the group's offsets know, and the store does not, stops") \
  bug(older_state_stops_at_once, unit, "that a store went back in time is looked at for 10 s") \
  bug(older_state_waits_for_ever, unit, "a store that stays behind stops the lane") \
  bug(lanes_not_compared, unit, "the record's number of lanes is the pipeline's") \
  bug(cluster_not_compared, unit, "the record belongs to this Kafka cluster") \
  bug(destination_not_compared, unit, "the record belongs to this table") \
  bug(partitions_not_compared, unit, "a topic does not lose partitions") \
  bug(log_end_not_compared, sim, "the log does not end before next") \
  bug(short_log_believed_at_once, sim, "a log that ends too early is looked at twice, 10 s apart") \
  bug(loss_believed_at_once, unit, "a log that begins behind what is to be delivered next is looked at twice") \
  bug(plan_beyond_log, sim, "the log does not end within the open plan") \
  bug(read_log_trusted, unit, "after a pause what was read before is looked at in the log again") \
  bug(idle_log_trusted, unit, "what comes after a time without records is another log's, perhaps") \
  bug(doubted_log_trusted, sim, "after a log was seen to be gone, what comes is held against it") \
  bug(doubted_look_counts, unit, "a look that was under way when records came tells nothing of a log in doubt") \
  bug(doubt_ends_unread, unit, "a log that was seen to be gone is in doubt until a while after it was compared") \
  bug(done_log_trusted, unit, "what a neighbour saw to be gone is held against the last record that is done, too") \
  bug(unheard_forgotten, unit, "a lane that was silent looks at a partition of which it knows something") \
  bug(look_against_now, unit, "an answer about the log is older than what was read since") \
  bug(arrival_ignored, unit, "records count from when they could be taken, not from when they were") \
  bug(turn_log_trusted, unit, "a partition that was set aside for long finds the log that was read") \
  bug(turns_not_counted, unit, "of the partitions that are far behind only a few are read at once") \
  bug(turn_never_ends, unit, "after its turn a partition makes room for the next") \
  bug(unknown_is_small, unit, "records of which none came yet are not taken for small ones") \
  bug(small_wait_their_turn, unit, "once it is known how small records are, what is near is read at once") \
  bug(end_not_heard, unit, "a partition that has nothing to hand on needs its turn no longer") \
  bug(quiet_turn_kept, unit, "a reader of which nothing comes is asked, and does not keep the others waiting") \
  bug(unread_is_held, unit, "what cannot be sent for long is left in Kafka") \
  bug(set_aside_too_early, sim, "a partition is set aside when nothing of it is on its way") \
  bug(unbuilt_waits, sim, "an open plan of whose records nothing comes is compared with the log again") \
  bug(reread_log_trusted, unit, "a plan whose records are read once more finds the log that it was read from") \
  bug(filled_log_trusted, unit, "the log up to the end of a plan that landed in part is the one that it was read from") \
  bug(known_not_compared, sim, "the last record done is still the same") \
  bug(loss_is_gap, sim, "records deleted before they were delivered stop the lane, unless told otherwise") \
  bug(beyond_skipped, sim, "the table holds nothing beyond what was sent") \
  bug(blind_ignored, unit, "up to `blind` the table is not asked") \
  bug(stopped_before_claim, sim, "a contradiction stops the lane only after its claim was accepted") \
  bug(blind_plan_believed, unit, "up to `blind` the table does not say what became of a plan") \
  bug(blind_meets_fill, unit, "what is filled in and what the table is not asked for are not sent together") \
  bug(move_forgets_the_table, unit, "a lane that is moved back knows what the table held then") \
  bug(move_keeps_lineage, unit, "a lane that is moved begins a new lineage") \
  bug(move_sends_all, unit, "of a lane that stays, what the table holds beyond its position is filled in, not sent anew") \
  bug(dead_letters_doubted_with_views, unit, "a doubt about dead letters alone is none about views") \
  bug(left_open_is_drained, unit, "a lane that is left with its plan open was not drained") \
  bug(first_count_skipped, unit, "a plan knows how many inserts its table had seen") \
  bug(way_out_of_a_fill, unit, "no move is named where the table holds what lies behind it") \
  bug(position_behind_the_log, unit, "a position behind the log's end is of another log") \
  bug(views_settled_by_table, unit, "what a table holds of a plan its dependent views may lack") \
  bug(settled_without_control, unit, "a table that shows nothing that was done settles no plan") \
  bug(kept_in_another_log, unit, "a table that holds more than the log is of another log") \
  bug(moved_from_an_old_record, unit, "of a store that went back only the table says where a partition stays") \
  bug(settle_goes_by_itself, unit, "that a plan did not land is not taken from a person where the table shows it") \
  bug(claim_skipped, unit, "a lane claims its record before it settles the plan") \
  bug(not_compared_after_claim, sim, "after the claim a contradiction is looked at again, and stops") \
  bug(start_not_marked, sim, "chute_starts has a row of every lane that began") \
  bug(sum_not_compared, sim, "a plan is rebuilt from the same records") \
  /* owners and zombies */ \
  bug(lease_clock_stops, sim, "the lease ends also while the process sleeps") \
  bug(lease_on_one_clock, unit, "the lease ends on both clocks") \
  bug(lease_from_answer, unit, "the lease is counted from when the save was sent") \
  bug(sleep_unnoticed, sim, "after a long gap between two events the lane forgets all and loads again") \
  bug(unknown_save_accepted, sim, "a save without an answer is not an accepted one") \
  bug(unknown_save_refused, sim, "a save without an answer is not a refused one")                          \
  bug(unknown_save_made_anew, sim, "a save without an answer is repeated word for word") \
  bug(stale_handle_kept, sim, "with a commit unanswered a forgotten lane gets a new consumer handle") \
  bug(old_answer_taken, sim, "an answer to a request from before the lane forgot is ignored")                          \
  bug(old_chunk_taken, sim, "records that were asked for before the lane forgot are ignored")                          \
  bug(save_after_forget, sim, "no save names a lane after it was forgotten") \
  /* records and stores */ \
  bug(version_not_compared, sim, "a store saves only over the expected version") \
  bug(text_not_compared, sim, "the same version with other words is another one's save") \
  bug(repetition_refused, sim, "a repeated save that landed is accepted") \
  bug(version_may_fall, unit, "versions grow with each save") \
  bug(damaged_record_read, unit, "a damaged record is an error") \
  bug(marks_not_written, unit, "a record keeps blind and fill_to") \
  bug(leftover_code_believed, unit, "kafka: after a commit of unknown end no code of a partition counts") \
  bug(coordinator_error_refuses, unit, "kafka: an error of the coordinator leaves a commit unknown") \
  bug(old_generation_unknown, unit, "kafka: an old generation is a refusal") \
  bug(unreadable_offset_is_absent, unit, "kafka: an offset that cannot be read is not absent") \
  bug(foreign_offset_is_absent, unit, "kafka: an offset that another tool moved is not a first start") \
  bug(offset_beside_seat_ignored, unit, "an offset beside the seat's that another tool moved is noticed") \
  bug(copied_metadata_believed, unit, "kafka: the metadata belongs to its offset") \
  bug(save_behind_unknown, unit, "kafka: behind an unknown save nothing is written before it was read") \
  bug(written_not_read_back, unit, "keeper_map: a save counts once its row was read back") \
  bug(older_row_believed_at_once, unit, "keeper_map: a row older than expected is read several times") \
  bug(keeper_exception_is_answer, unit, "keeper_map: Keeper's exceptions say nothing about what was written") \
  bug(late_save_forgotten, unit, "while a save may still land, its repetition never says that nothing was written") \
  bug(other_table_used, unit, "keeper_map: the table's engine and path are looked at before it is used") \
  bug(refusal_stops_the_others, unit, "keeper_map: the lanes beside a refused one are written all the same") \
  bug(unread_row_is_absent, unit, "keeper_map: a row that cannot be read is not absent") \
  bug(replicas_not_waited_for, unit, "redis: a save counts once the replicas have it") \
  bug(unclear_word_is_saved, unit, "redis: an answer that is not understood is unknown") \
  bug(broken_hash_is_absent, unit, "redis: a hash that cannot be read is not absent") \
  bug(damaged_file_is_empty, unit, "file: damage is a failure, never an absent record") \
  bug(vanished_file_is_empty, unit, "file: a file that disappeared is a failure") \
  bug(replaced_directory_used, unit, "file: a directory that was replaced is no longer ours") \
  bug(lock_not_taken, unit, "file: one process at a time has the directory") \
  bug(file_written_in_place, unit, "file: a save leaves the old file or the new one") \
  /* formats */ \
  bug(two_blocks_an_insert, unit, "native: one block an insert")
// clang-format on

namespace chute {

enum class bug : std::uint8_t {
  none,
#define CHUTE_BUG(name, seen_by, rule) name,
  CHUTE_PLANTED_BUGS(CHUTE_BUG)
#undef CHUTE_BUG
};

#ifdef CHUTE_MUTANTS
bool select_mutant(std::string_view name); // false: there is none of this name. Before any thread is started
bug selected_mutant();
constexpr bool mutant(bug b) { return !std::is_constant_evaluated() && selected_mutant() == b; }
#else
constexpr bool mutant(bug) { return false; }
#endif

} // namespace chute
