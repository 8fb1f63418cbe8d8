#include "core/way_out.hpp"

#include "core/move_request.hpp"
#include "core/text.hpp"

namespace chute {

namespace {
std::string without_blank_at_end(std::string options) {
  while (options.ends_with(' ')) options.pop_back();
  return options;
}
} // namespace

std::string state_of::reset(const std::string& options) const {
  return state_command("reset", file, pipeline, topic, without_blank_at_end(options));
}
std::string state_of::settle(const std::string& options) const {
  return state_command("settle", file, pipeline, topic, without_blank_at_end(options));
}

std::string of_lane(lane_id lane) { return "--lane " + std::to_string(lane.value) + " "; }
std::string of_partition(partition_id p) { return "--partition " + std::to_string(p.value) + " "; }

std::string settle_by_word(const state_of& whose, lane_id lane) {
  return whose.settle(of_lane(lane) + "--landed") + " or " + whose.settle(of_lane(lane) + "--not-landed");
}

std::string go_on_after_table(const state_of& whose, const std::string& of, bool there) {
  if (there) return "go on after what the table holds: " + whose.reset(of + "--to-table");
  // An offset is one partition's. Without a record a lane of several has to be moved as a whole before.
  return "say where to go on, because the table cannot be asked what it holds: " +
         whose.reset((of.starts_with("--partition") ? of : "--partition P ") + "--to-offset N") +
         ", or, to deliver all that the log holds once more: " + whose.reset(of + "--to-earliest");
}

bool loss_meets_plan(const lane_record& r, std::size_t i) {
  return r.open && i < r.open->last.size() && r.open->last[i] >= r.partitions[i].next;
}

std::string pass_loss(const state_of& whose, const lane_record& r, lane_id lane, std::size_t i,
                      const table_trust& trust) {
  const auto& p = r.partitions[i];
  const auto of = of_partition(lane_partition_id(lane, r.lanes, i));
  const bool planned = loss_meets_plan(r, i), blind = p.blind && *p.blind >= p.next;
  const std::string on_by_itself = "set on_data_loss: continue";
  if (!planned && !p.fill_to) return whose.reset(of + "--to-earliest") + ", or " + on_by_itself;
  if (!blind && trust.there && trust.not_there && !(planned && trust.dependent_views))
    return whose.reset(of + "--to-table") + " sends what is left of the open plan and the table lacks";
  if (!planned) return on_by_itself + ", which goes on with what is left of the plan that is being filled in";
  return "say first whether the open plan landed: " + settle_by_word(whose, lane);
}

std::string begin_with_other_lanes(const state_of& whose, bool tells) {
  state_of all = whose;
  all.topic.clear(); // a group is all topics'
  if (tells)
    return "stop the pipeline, write a new group: beside start: earliest, start it until the lanes whose rows the "
           "table "
           "holds have stopped, and then, to send only what the table lacks: " +
           all.reset("--to-table") + "; not start: latest, which passes over what was not delivered";
  return "stop the pipeline, note each partition's next offset (`chute state show " + shell_word(whose.file) +
         " --json`), write a new group: beside start: latest, let it begin without delivering anything (`chute run " +
         shell_word(whose.file) + " --pipeline " + shell_word(whose.pipeline) +
         " --until-end`), and then move each partition to what was noted: " +
         whose.reset("--partition P --to-offset N") +
         ", or one that was not shown: " + whose.reset("--partition P --to-earliest");
}

} // namespace chute
