#include "actors/reader.hpp"

namespace chute {

namespace {

using self_ptr = reader_actor::stateful_pointer<reader_state>;
constexpr std::size_t records_max = 16'384; // in a chunk

read_error kind_of(const kafka::stream_error& e) {
  switch (e.what) {
  case kafka::stream_error::kind::out_of_range: return read_error::out_of_range;
  case kafka::stream_error::kind::unknown_topic: return read_error::unknown_topic;
  default: return read_error::other;
  }
}

// Serves credits while there is something to take; else the queue's wake-up calls again.
void serve(self_ptr self) {
  auto& s = self->state;
  while (!s.credits.empty() && s.source && s.source->running()) {
    auto raw = std::make_shared<kafka::raw_batch>(s.source->take(records_max, s.credits.front()));
    if (raw->failure) {
      auto& f = *raw->failure;
      self->send(s.to, msg::read_failure{s.epoch, s.where.partition, kind_of(f), f.why.text()});
    }
    if (raw->last < raw->first) {
      if (raw->more) continue;
      return; // nothing passed: the credit waits
    }
    s.credits.pop_front();
    self->send(s.converter, convert_request{raw, s.epoch, s.where.topic, s.where.partition, s.spec, s.to});
  }
}

void start(self_ptr self, const msg::read_from& m) {
  auto& s = self->state;
  s.epoch = m.epoch;
  s.spec = m.spec;
  s.credits.clear();
  if (auto r = s.source->start(m.from); !r.ok())
    self->send(s.to, msg::read_failure{s.epoch, s.where.partition, read_error::other, r.failure().text()});
}

} // namespace

reader_actor::behavior_type reader(self_ptr self, context_ptr context, std::shared_ptr<kafka::fetcher> fetcher,
                                   kafka::topic_partition where, converter_actor converter, batcher_actor to) {
  auto& s = self->state;
  s.context = std::move(context);
  s.where = std::move(where);
  s.converter = std::move(converter);
  s.to = std::move(to);
  // The callback comes from librdkafka's threads and must not keep the actor alive.
  auto address = caf::actor_cast<caf::actor_addr>(self->ctrl());
  auto stream = fetcher->open_stream(s.where, [address] {
    if (auto a = caf::actor_cast<reader_actor>(address)) caf::anon_send(a, msg::wake{});
  });
  if (stream.ok()) s.source = std::move(*stream);
  else self->send(s.to, msg::read_failure{0, s.where.partition, read_error::other, stream.failure().text()});
  return {
      [=](const msg::read_from& m) {
        if (self->state.source) start(self, m);
      },
      [=](const msg::take_chunk& m) {
        if (m.epoch != self->state.epoch) return;
        self->state.credits.push_back(m.bytes);
        serve(self);
      },
      [=](const msg::stop_reading&) {
        self->state.credits.clear();
        if (self->state.source) self->state.source->stop();
      },
      [=](const msg::wake&) { serve(self); },
  };
}

converter_actor::behavior_type converter(converter_actor::stateful_pointer<converter_state> self, pipeline_actor boss) {
  self->state.boss = std::move(boss);
  return {[=](const convert_request& r) {
    auto& s = self->state;
    try {
      if (s.spec != r.spec) {
        auto made = make_decoder(r.spec->format, r.spec->targets, r.spec->options);
        if (!made.ok()) return self->send(s.boss, msg::failed{made.failure().text()});
        s.with = std::move(*made);
        s.spec = r.spec;
      }
      auto out = std::make_shared<chunk>();
      out->topic = r.topic;
      out->partition = r.partition;
      out->first = r.raw->first;
      out->last = r.raw->last;
      out->reached_end = r.raw->end.has_value();
      s.with->decode(r.raw->records, *r.raw, *out);
      self->send(r.to, msg::converted{r.epoch, out, r.raw->end ? r.raw->end->value : -1});
    } catch (const std::exception& e) {
      self->send(s.boss, msg::failed{std::string("a converter failed: ") + e.what()});
    }
  }};
}

} // namespace chute
